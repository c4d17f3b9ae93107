"""Configs at the door: plain data in, frozen dataclasses out, JSON round trip.

A config file returns an ml_collections ConfigDict, the command line overrides its leaves, and from here on there are
only frozen dataclasses. Keys are checked against the fields (an unknown one is an error that names the nearest that
exists) and values against their annotations. Nothing in a config is executed.

    cfg = build(OptimConfig, {"lr": "3e-4", "schedule": "cosine"}, "optim")
    assert build(OptimConfig, to_dict(cfg), "optim") == cfg
"""

import contextlib
import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from gen import bounds, jsonfile
from gen.messages import short


class ConfigError(ValueError):
    """A config that cannot be used; the message says which key, why, and what to do."""


RESUMABLE = {"resumable": True}  # metadata of such a field


def resumable(default: Any) -> Any:
    """A field with a default that has no part in what is trained: a run is resumed with any value of it."""
    return dataclasses.field(default=default, metadata=RESUMABLE)


def resumable_keys(cfg: Any, where: str = "") -> list[str]:
    """The dotted keys of the resumable fields of a config, given as an instance or as its class."""
    hints = typing.get_type_hints(cfg if isinstance(cfg, type) else type(cfg))
    keys: list[str] = []
    for field in dataclasses.fields(cfg):
        inner = hints[field.name] if isinstance(cfg, type) else getattr(cfg, field.name)
        if field.metadata.get("resumable"):
            keys.append(_dot(where, field.name))
        elif dataclasses.is_dataclass(inner):
            keys += resumable_keys(inner, _dot(where, field.name))
    return keys


def unused(cfg: Any, where: str = "") -> dict[str, str]:
    """The dotted keys that were set and act on nothing as the others are, each with why."""
    found: dict[str, str] = {}
    if isinstance(cfg, bounds.Bounded):
        found = {_dot(where, name): why for name, why in cfg.unused().items()}
    for field in dataclasses.fields(cfg):
        if dataclasses.is_dataclass(value := getattr(cfg, field.name)):
            found |= unused(value, _dot(where, field.name))
    return found


def only(data: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """The parts of nested `data` at dotted `keys`, in their places."""
    taken: dict[str, Any] = {}
    for key in keys:
        value: Any = data
        for part in key.split("."):
            value = value[part]
        taken = override(taken, key, value)
    return taken


def nearest(name: str, known: Iterable[str]) -> str:
    """' Did you mean X?', or the list of what exists."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"


def build[T](cls: type[T], data: Mapping[str, Any], where: str) -> T:
    """A frozen dataclass from a mapping; `where` is the dotted place of the mapping, for messages.

    Raises ConfigError for an unknown key, a missing one, a value of the wrong type and a number out of its bounds.
    """
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(typing.cast(Any, cls))}
    for key in data:
        if key not in fields:
            raise ConfigError(f"config has no key {_dot(where, key)!r}; {nearest(key, fields)}")
    missing = [
        _dot(where, f.name)
        for f in fields.values()
        if f.name not in data and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"config lacks {', '.join(missing)}")
    values = {key: convert(value, hints[key], _dot(where, key)) for key, value in data.items()}
    try:
        return cls(**values)
    except bounds.OutOfBounds as error:
        raise ConfigError(_dot(where, error.field) + error.sentence) from error


def convert(value: Any, kind: Any, where: str) -> Any:
    """`value` as the annotated type `kind`: strings from the command line are parsed, whole numbers widen to float."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _first_that_fits(value, args, where)
    if origin is typing.Annotated:
        return _within(convert(value, args[0], where), kind, where)
    if origin is typing.Literal:
        if value in args:
            return value
        raise ConfigError(f"{where}={short(value)}: {nearest(str(value), map(str, args))}")
    if kind is type(None):
        if value is None or value in ("None", "none", "null"):
            return None
        raise _wrong(value, "None", where)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        if dataclasses.is_dataclass(value):
            return value
        if not isinstance(value, Mapping):
            raise _wrong(value, "a group of keys", where)
        return build(typing.cast(type, kind), value, where)
    if isinstance(value, str) and kind is not str:
        value = _split(value) if origin is tuple else _parse(value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _wrong(value, "a list", where)
        inner = [args[0]] * len(value) if len(args) == 2 and args[1] is Ellipsis else list(args)
        if len(inner) != len(value):
            raise ConfigError(f"{where}={short(value)} needs exactly {len(inner)} values")
        return tuple(convert(v, k, f"{where}[{i}]") for i, (v, k) in enumerate(zip(value, inner, strict=True)))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise _wrong(value, "a group of keys", where)
        return {str(k): convert(v, args[1], _dot(where, str(k))) for k, v in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{where}={value} must be finite")
    if type(value) is not kind:
        raise _wrong(value, kind.__name__, where)
    return value


def to_dict(cfg: Any) -> Any:
    """Dataclasses, mappings and tuples as plain JSON data."""
    if dataclasses.is_dataclass(cfg) and not isinstance(cfg, type):
        return {f.name: to_dict(getattr(cfg, f.name)) for f in dataclasses.fields(cfg)}
    if isinstance(cfg, Mapping):
        return {str(key): to_dict(value) for key, value in cfg.items()}
    if isinstance(cfg, list | tuple):
        return [to_dict(value) for value in cfg]
    return cfg


def override(data: Mapping[str, Any], dotted: str, value: Any) -> dict[str, Any]:
    """A copy of nested `data` with the value at `a.b.c` set, as it was typed or as data; `build` checks it later."""
    head, _, rest = dotted.partition(".")
    inner = data.get(head, {})
    if rest and not isinstance(inner, Mapping):
        raise ConfigError(f"--config.{dotted}: {head!r} is a value, not a group of keys")
    return {**data, head: override(inner, rest, value) if rest else value}


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with every leaf of `over`, which wins."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a.b.c": value} of nested mappings."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _within(value: Any, kind: Any, where: str) -> Any:
    try:
        bounds.check(value, kind, where)
    except bounds.OutOfBounds as error:
        raise ConfigError(str(error)) from error
    return value


def _first_that_fits(value: Any, kinds: tuple, where: str) -> Any:
    # str last: it accepts anything typed on a command line
    problems = []
    for kind in sorted(kinds, key=lambda k: k is str):
        try:
            return convert(value, kind, where)
        except ConfigError as error:
            problems.append(error)
    raise problems[-1]


def _split(text: str) -> list[Any]:
    """The items of "1,2,3" or "(1, 2, 3)", still as text, or of JSON as "[[\"text/\", 0.1]]"."""
    with contextlib.suppress(jsonfile.NotReadable):
        return jsonfile.parse(text, list[Any], "")
    text = text.strip()
    if text[:1] + text[-1:] in ("()", "[]"):  # not those of a regex, as in "(query|value)/kernel"
        text = text[1:-1]
    return [item.strip(" \"'") for item in text.split(",") if item.strip()]


def _parse(text: str, where: str) -> Any:
    if text in ("True", "False", "None"):
        return {"True": True, "False": False, "None": None}[text]
    try:
        return jsonfile.parse(text, Any, where)
    except jsonfile.NotReadable:
        if _endless(text):
            raise ConfigError(f"{where}={short(text)} must be finite") from None
        raise ConfigError(f"{where}={short(text)} is not a value; strings only go where a string is expected") from None


def _endless(text: str) -> bool:
    """Whether it is a number that is not finite, as NaN or 1e999."""
    try:
        return not math.isfinite(float(text))
    except ValueError:
        return False


def _wrong(value: Any, wanted: str, where: str) -> ConfigError:
    return ConfigError(f"{where}={short(value)} is {type(value).__name__}, but {wanted} is expected")


def _dot(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
