"""Bounds of numbers, stated where a config declares the field and held wherever the dataclass is made.

    @dataclasses.dataclass(frozen=True)
    class OptimConfig(Bounded):
        lr: Positive = 1e-3
        clip: Positive | None = 1.0
        b1: Annotated[float, at_least(0), below(1)] = 0.9

    OptimConfig(clip=0.0)  ->  OutOfBounds: clip=0.0 must be above 0

NaN and the infinities are out of all bounds.
"""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any

from gen.messages import short


class OutOfBounds(ValueError):
    """A value that its field does not allow. `field` is its name, `sentence` what follows after the name."""

    def __init__(self, field: str, sentence: str):
        super().__init__(field + sentence)
        self.field, self.sentence = field, sentence


@dataclasses.dataclass(frozen=True)
class Bound:
    """One condition on a number, and its wording."""

    holds: Callable[[float | int], bool]
    words: str


def above(limit: float | int) -> Bound:
    return Bound(lambda x: x > limit, f"above {limit}")


def at_least(limit: float | int) -> Bound:
    return Bound(lambda x: x >= limit, f"at least {limit}")


def below(limit: float | int) -> Bound:
    return Bound(lambda x: x < limit, f"below {limit}")


def at_most(limit: float | int) -> Bound:
    return Bound(lambda x: x <= limit, f"at most {limit}")


FINITE = Bound(lambda x: True, "finite")  # for a number that may have any finite value

Positive = Annotated[float, above(0)]
NotNegative = Annotated[float, at_least(0)]
Finite = Annotated[float, FINITE]
Fraction = Annotated[float, at_least(0), at_most(1)]
Count = Annotated[int, at_least(1)]
Natural = Annotated[int, at_least(0)]
Integer = Annotated[int, FINITE]
Dropout = Annotated[float, at_least(0), below(1)]
Seed = Annotated[int, at_least(0), below(2**32)]  # jax takes 32 bits of it and drops the rest


class Bounded:
    """A dataclass whose annotated bounds hold from the start; a `__post_init__` of its own calls `super`'s first."""

    def __post_init__(self) -> None:
        for name, kind in _hints(typing.cast(Any, type(self))).items():
            check(getattr(self, name), kind, name)

    def unused(self) -> dict[str, str]:
        """The fields that were set and act on nothing as the others are, by name, each with why."""
        return {}


def check(value: Any, kind: Any, name: str) -> None:
    """Raises OutOfBounds for a number in `value` that the annotation `kind` does not allow."""
    for number, bound in _applied(value, kind):
        if not math.isfinite(number):
            raise OutOfBounds(name, f"={short(number)} must be finite")
        if not bound.holds(number):
            raise OutOfBounds(name, f"={short(number)} must be {bound.words}")


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    fields = {field.name for field in dataclasses.fields(typing.cast(Any, cls)) if field.init}
    return {name: kind for name, kind in typing.get_type_hints(cls, include_extras=True).items() if name in fields}


def _applied(value: Any, kind: Any) -> Iterator[tuple[float | int, Bound]]:
    """Each number in `value` with each bound that its annotation states, through unions, tuples and dicts."""
    kind = _member(value, getattr(kind, "__value__", kind))  # of `type Rules = tuple[...]`, what it stands for
    args = typing.get_args(kind)
    if isinstance(value, list | tuple):
        inner = [args[0]] * len(value) if len(args) == 2 and args[1] is Ellipsis else args
        for one, one_kind in zip(value, inner, strict=False):
            yield from _applied(one, one_kind)
    elif isinstance(value, dict):
        for one in value.values() if args else ():
            yield from _applied(one, args[-1])
    elif isinstance(value, int | float) and not isinstance(value, bool):
        for bound in bounds(kind):
            yield value, bound


def _member(value: Any, kind: Any) -> Any:
    """Of a union, the collection that `value` is; other kinds as they are."""
    if isinstance(value, list | tuple | dict) and typing.get_origin(kind) in (typing.Union, types.UnionType):
        wanted = dict if isinstance(value, dict) else tuple
        return next((one for one in typing.get_args(kind) if typing.get_origin(one) is wanted), kind)
    return kind


def bounds(kind: Any) -> list[Bound]:
    """The bounds that an annotation states for a number; of a union, those of its members."""
    if typing.get_origin(kind) is Annotated:
        return [one for one in kind.__metadata__ if isinstance(one, Bound)]
    return [bound for one in typing.get_args(kind) for bound in bounds(one)]
