"""Every number of every config states its bounds, and they hold from Python and from the command line.

The configs are all dataclasses that are `Bounded`, and all that a config of configs/ reaches.
"""

import dataclasses
import importlib
import pathlib
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any

import pytest

from gen import bounds, config
from gen.bounds import Bounded, OutOfBounds
from gen.config import ConfigError
from gen.pipelines import preferences
from gen.runs import config_file, registry
from gen.runs import family as families
from gen.training.config import RunConfig


def bounded() -> set[type]:
    """Every `Bounded` dataclass of gen and launch."""
    for path in sorted(path for room in ("gen", "launch") for path in pathlib.Path(room).rglob("*.py")):
        if "(Bounded)" in path.read_text():
            importlib.import_module(".".join(path.with_suffix("").parts))
    found, left = set(), [Bounded]
    while left:
        own = left.pop().__subclasses__()
        found |= set(own)
        left += own
    return {cls for cls in found if cls.__module__.split(".")[0] in ("gen", "launch")}


def reached() -> set[type]:
    """Every dataclass that a value of a config of configs/ is of, or that one of its fields may be of."""
    found: set[type] = set()

    def visit(kind: Any) -> None:
        kind = getattr(kind, "__value__", kind)
        if dataclasses.is_dataclass(kind) and isinstance(kind, type) and kind not in found:
            found.add(kind)
            for inner in typing.get_type_hints(kind).values():
                visit(inner)
        for inner in typing.get_args(kind):
            visit(inner)

    for family in map(families.find, families.names()):
        for kind in (family.task, family.model, family.inputs.config):
            visit(kind)
    visit(RunConfig)
    visit(preferences.RankStage)
    return found


CONFIGS = sorted(bounded() | reached(), key=lambda cls: f"{cls.__module__}.{cls.__qualname__}")


def numbers(kind: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """Each place in an annotation where a number may stand, with its annotation there; () is the value itself."""
    kind = getattr(kind, "__value__", kind)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        if args[0] in (int, float):
            yield path, kind
        return
    if kind in (int, float):
        yield path, kind
    elif origin in (typing.Union, types.UnionType):
        for one in args:
            yield from numbers(one, path)
    elif origin is tuple:
        for i, one in enumerate(args):
            if one is not Ellipsis:
                yield from numbers(one, (*path, ("tuple", i, len(args), args[-1] is Ellipsis)))
    elif origin is dict:
        yield from numbers(args[1], (*path, ("dict",)))


def fields_of(cls: type) -> Iterator[tuple[str, tuple, Any]]:
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        if field.init:
            for path, kind in numbers(hints[field.name]):
                yield field.name, path, kind


PLACES = [
    pytest.param(cls, name, path, kind, id=f"{cls.__module__}.{cls.__name__}.{name}{len(path) or ''}")
    for cls in CONFIGS
    for name, path, kind in fields_of(cls)
]


def test_all_configs_are_found():
    assert {"SamplerConfig", "MixturePart", "Llama3Scaling", "Job", "RankConfig"} <= {cls.__name__ for cls in CONFIGS}
    assert len(CONFIGS) > 40 and len(PLACES) > 130


@pytest.mark.parametrize("cls", CONFIGS)
def test_its_numbers_are_bounded(cls):
    missing = [name for name, _, kind in fields_of(cls) if not bounds.bounds(kind)]
    assert issubclass(cls, Bounded) or not list(fields_of(cls))
    assert not missing, f"say what {cls.__name__}.{', '.join(missing)} may be: gen/bounds.py"


def outside(kind: Any) -> Iterator[float | int]:
    """NaN, the infinities, and numbers just outside of the annotation's bounds."""
    number = typing.get_args(kind)[0]
    near = [0, -1, -2, 1, 2, 2**32] if number is int else [0.0, -1e-9, -1e-3, 1.0, 1 + 1e-9, 0.5]
    yield from (value for value in near if not all(bound.holds(value) for bound in bounds.bounds(kind)))
    if number is float:
        yield from (float("nan"), float("inf"), -float("inf"))


def at(path: tuple, value: Any) -> Any:
    """A value with the number in its place, and nothing in others."""
    if not path:
        return value
    (shape, *where), *rest = path
    if shape == "dict":
        return {"part": at(tuple(rest), value)}
    index, size, endless = where
    inner = at(tuple(rest), value)
    return (inner,) if endless else tuple(inner if i == index else (0 if size == 2 and i else "x") for i in range(size))


def blank(cls: type) -> Any:
    """An instance with only its defaults, made without any check."""
    one = object.__new__(cls)
    for field in dataclasses.fields(cls):
        default = field.default if field.default is not dataclasses.MISSING else None
        object.__setattr__(one, field.name, default)
    return one


@pytest.mark.parametrize(("cls", "name", "path", "kind"), PLACES)
def test_a_number_outside_is_refused(cls, name, path, kind):
    refused = list(outside(kind))
    for value in refused:
        one = blank(cls)
        object.__setattr__(one, name, at(path, value))
        with pytest.raises(OutOfBounds, match=rf"^{name}="):
            Bounded.__post_init__(one)
    assert refused or typing.get_args(kind)[0] is int  # whole numbers are finite


EXAMPLES = [
    ("task.sampler.eta", 2.0, "configs/unclip/digits.py:upsampler", r"task\.sampler\.eta=2\.0 must be at most 1"),
    ("task.factor", 0, "configs/unclip/digits.py:upsampler", r"task\.factor=0 must be at least 2"),
    ("task.crop", 2, "configs/unclip/digits.py:upsampler", r"task\.crop=2\.0 must be at most 1"),
    ("data.resolution", 0, "configs/unclip/digits.py:upsampler", r"data\.resolution=0 must be at least 1"),
    ("evals.samples", -1, "configs/unclip/digits.py:upsampler", r"evals\.samples=-1 must be at least 0"),
    ("log.every", 0, "configs/unclip/digits.py:upsampler", r"log\.every=0 must be at least 1"),
    ("mesh.fsdp", 0, "configs/lm/gpt2.py:tiny", r"mesh\.fsdp=0 must be at least 1, or -1"),
    ("model.transformer.dropout", 1, "configs/lm/gpt2.py:tiny", r"model\.transformer\.dropout=1\.0 must be below 1"),
    ("optim.lr_rules", ((".*", -1.0),), "configs/lm/gpt2.py:tiny", r"optim\.lr_rules=-1\.0 must be at least 0"),
    ("optim.decay_rules", ((".*", -1.0),), "configs/lm/gpt2.py:tiny", r"optim\.decay_rules=-1\.0 must be at least"),
    ("optim.players", {"model": {"b1": 1.0}}, "configs/lm/gpt2.py:tiny", r"optim\.players\.model\.b1=1\.0 must be"),
    ("optim.players", {"model": {"rate": 1.0}}, "configs/lm/gpt2.py:tiny", r"no key 'optim\.players\.model\.rate'"),
    ("optim.lr", "NaN", "configs/lm/gpt2.py:tiny", r"optim\.lr='NaN' must be finite"),
    ("optim.lr", "1e999", "configs/lm/gpt2.py:tiny", r"optim\.lr='1e999' must be finite"),
    ("optim.lr", "-Infinity", "configs/lm/gpt2.py:tiny", r"optim\.lr='-Infinity' must be finite"),
    ("train.steps", 0, "configs/lm/gpt2.py:tiny", r"train\.steps=0 must be at least 1"),
    ("train.spikes.window", 1, "configs/lm/gpt2.py:tiny", r"train\.spikes\.window=1 must be at least 2"),
    ("task.sampler.top_p", 0.0, "configs/lm/gpt2.py:tiny", r"task\.sampler\.top_p=0\.0 must be above 0"),
]


@pytest.mark.parametrize(("key", "value", "file", "message"), EXAMPLES)
def test_a_config_with_it_is_refused_by_its_key(key, value, file, message):
    data = config.override(config_file.load_config(file), key, value)
    with pytest.raises(ConfigError, match=message):
        registry.resolve(data)
