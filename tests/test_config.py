"""Configs at the door: unknown keys named with the nearest, strings of the command line typed, JSON there and back."""

import dataclasses
import json
from typing import Any, Literal

import pytest

from gen import config
from gen.config import ConfigError
from gen.training.config import RunConfig


@dataclasses.dataclass(frozen=True)
class Optim:
    lr: float = 1e-3
    name: Literal["adamw", "lion"] = "adamw"
    warmup: int | None = None
    nesterov: bool = False
    layers: tuple[int, ...] = ()
    betas: tuple[float, float] = (0.9, 0.99)
    rules: tuple[tuple[str, float], ...] = ()
    label: str | None = None
    players: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Run:
    steps: int
    optim: Optim = Optim()


def test_json_round_trip():
    cfg = Run(3, Optim(3e-4, "lion", 10, True, (1, 2), (0.5, 0.6), (("bias", 0.0),), "x", {"critic": {"lr": 1.0}}))
    assert config.build(Run, json.loads(json.dumps(config.to_dict(cfg))), "") == cfg


def test_the_config_of_a_run_survives_json():
    cfg = config.build(RunConfig, {"task": 1, "model": None, "data": [2], "train": {"steps": 5, "batch_size": 8}}, "")
    assert config.build(RunConfig, json.loads(json.dumps(config.to_dict(cfg))), "") == cfg


@pytest.mark.parametrize(
    "key, text, value",
    [
        ("lr", "3e-4", 3e-4),
        ("lr", "1", 1.0),
        ("name", "lion", "lion"),
        ("warmup", "10", 10),
        ("warmup", "None", None),
        ("warmup", "null", None),
        ("nesterov", "True", True),
        ("nesterov", "false", False),
        ("layers", "1,2,3", (1, 2, 3)),
        ("layers", "(1, 2)", (1, 2)),
        ("layers", "[]", ()),
        ("betas", "0.9, 1", (0.9, 1.0)),
        ("label", "None", None),
        ("label", "12", "12"),
    ],
)
def test_strings_of_the_command_line_become_what_the_annotation_says(key, text, value):
    built = getattr(config.build(Optim, {key: text}, "optim"), key)
    assert built == value and type(built) is type(value)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("lr", "fast", "optim.lr='fast' is not a value; strings only go where a string is expected"),
        ("lr", True, "optim.lr=True is bool, but float is expected"),
        ("warmup", 1.5, "optim.warmup=1.5 is float, but None is expected"),
        ("nesterov", 1, "optim.nesterov=1 is int, but bool is expected"),
        ("name", "loin", "optim.name='loin': did you mean 'lion'?"),
        ("name", "sgd9", "optim.name='sgd9': known: adamw, lion"),
        ("layers", 3, "optim.layers=3 is int, but a list is expected"),
        ("layers", [1, 2.5], "optim.layers[1]=2.5 is float, but int is expected"),
        ("betas", [0.9], "optim.betas=[0.9] needs exactly 2 values"),
        ("label", 3, "optim.label=3 is int, but str is expected"),
        ("players", [1], "optim.players=[1] is list, but a group of keys is expected"),
        ("players", {"critic": 1}, "optim.players.critic=1 is int, but a group of keys is expected"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(key, value, message):
    with pytest.raises(ConfigError) as error:
        config.build(Optim, {key: value}, "optim")
    assert str(error.value) == message


def test_an_unknown_key_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match=r"^config has no key 'optim\.warmpu'; did you mean 'warmup'\?$"):
        config.build(Run, {"steps": 1, "optim": {"warmpu": 3}}, "")
    with pytest.raises(ConfigError, match="^config has no key 'xyz'; known: steps, optim$"):
        config.build(Run, {"steps": 1, "xyz": 3}, "")


def test_a_missing_key_and_a_value_for_a_group_are_named():
    with pytest.raises(ConfigError, match=r"^config lacks run\.steps$"):
        config.build(Run, {}, "run")
    with pytest.raises(ConfigError, match="^optim=3 is int, but a group of keys is expected$"):
        config.build(Run, {"steps": 1, "optim": 3}, "")


def test_override_sets_one_leaf_of_a_copy():
    data = {"optim": {"lr": 1.0, "name": "lion"}, "seed": 0}
    assert config.override(data, "optim.lr", "2") == {"optim": {"lr": "2", "name": "lion"}, "seed": 0}
    assert config.override(data, "train.steps", "5")["train"] == {"steps": "5"}
    assert data == {"optim": {"lr": 1.0, "name": "lion"}, "seed": 0}
    with pytest.raises(ConfigError, match="'seed' is a value, not a group of keys"):
        config.override(data, "seed.lr", "2")


def test_flatten():
    assert config.flatten({"a": {"b": {"c": 1}, "d": [2]}, "e": None}) == {"a.b.c": 1, "a.d": [2], "e": None}


def test_a_list_of_regexes_keeps_their_parentheses():
    convert = lambda text: config.convert(text, tuple[str, ...], "optim.freeze")
    assert convert("(query|value)/kernel") == ("(query|value)/kernel",)
    assert convert("attention/(query|value),[ab]x") == ("attention/(query|value)", "[ab]x")
    assert convert("(tokens, positions)") == convert("[tokens,positions]") == ("tokens", "positions")
