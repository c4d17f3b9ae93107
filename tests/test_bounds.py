"""Bounds of numbers: held from the command line and from Python, and named with the key."""

import dataclasses
from typing import Annotated

import pytest

from gen import config
from gen.bounds import Bounded, Count, Fraction, NotNegative, OutOfBounds, Positive, at_least, below, bounds
from gen.config import ConfigError


@dataclasses.dataclass(frozen=True)
class Optim(Bounded):
    lr: Positive = 1e-3
    b1: Annotated[float, at_least(0), below(1)] = 0.9
    clip: Positive | None = None
    layers: tuple[Count, ...] = ()
    rules: tuple[tuple[str, NotNegative], ...] = ()
    drop: dict[str, Fraction] = dataclasses.field(default_factory=dict)
    nested: bool = False


@dataclasses.dataclass(frozen=True)
class Run:
    optim: Optim = Optim()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"lr": 0.0}, "lr=0.0 must be above 0"),
        ({"lr": float("nan")}, "lr=nan must be finite"),
        ({"b1": 1.0}, "b1=1.0 must be below 1"),
        ({"b1": -0.1}, "b1=-0.1 must be at least 0"),
        ({"clip": 0.0}, "clip=0.0 must be above 0"),
        ({"layers": (1, 0)}, "layers=0 must be at least 1"),
        ({"rules": (("a", 1.0), ("b", -1.0))}, "rules=-1.0 must be at least 0"),
        ({"drop": {"text": 1.5}}, "drop=1.5 must be at most 1"),
    ],
)
def test_a_number_out_of_its_bounds_is_refused_and_named(values, sentence):
    with pytest.raises(OutOfBounds) as caught:
        Optim(**values)
    assert str(caught.value) == sentence
    with pytest.raises(ConfigError, match=sentence.replace("=", "=.*")):
        config.build(Run, {"optim": values}, "")


def test_values_within_are_kept():
    cfg = Optim(0.1, 0.0, 2.0, (1, 2), (("a", 0.0),), {"text": 1.0}, True)
    assert config.build(Optim, config.to_dict(cfg), "optim") == cfg


def test_an_annotation_tells_its_bounds():
    assert [bound.words for bound in bounds(Positive | None)] == ["above 0"]
    assert bounds(float) == []


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999", "-Infinity"])
def test_a_number_of_the_command_line_is_finite(text):
    with pytest.raises(ConfigError, match="optim.lr"):
        config.build(Run, {"optim": {"lr": text}}, "")
