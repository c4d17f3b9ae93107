"""JSON that may come from anywhere, read within bounds and checked against a type.

    class Skip(TypedDict):
        at: int
        spike: NotRequired[float]

    read(Path("run/skips.json"), dict[str, list[Skip]])  ->  {"skips": [{"at": 7}]}
    parse(b'{"at": "7"}', Skip, "skips.json")            ->  NotReadable: skips.json: at is text, but an integer is ...

The reader opens regular files only, and bounds their size, the depth of nesting and the numbers. Types are those that
JSON has: None, bool, int, float, str, list[X], dict[str, X], tuple[X, Y], Literal, unions, TypedDict and Any. A
TypedDict keeps the keys that it does not name, so that a file of a later version still opens.
"""

import errno
import functools
import json
import math
import os
import stat
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn

from gen.messages import bare, short

SIZE = 16 * 2**20  # bytes of a file
DEPTH = 64  # brackets within brackets
_NAMES = {
    type(None): "null",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "text",
    list: "a list",
    tuple: "a list",
    dict: "an object",
}


class NotReadable(ValueError):
    """A file that is missing, is not a regular file, or does not hold the JSON that is expected of it."""


def read(path: Path, kind: Any = dict[str, Any], *, size: int = SIZE, advice: str = "restore it from a copy") -> Any:
    """The JSON in a regular file of at most `size` bytes, checked against the type `kind`.

    Raises NotReadable, which names the file and what is wrong in it, followed by `advice`; OSError where the file
    cannot be read for now.
    """
    with open_regular(path) as file:
        data = file.read(size + 1)
    if len(data) > size:
        raise NotReadable(f"{path} is larger than {size:,} bytes; {advice}")
    try:
        return parse(data, kind, str(path))
    except NotReadable as error:
        raise NotReadable(f"{error}; {advice}") from error


def open_regular(path: Path, *, links: bool = True) -> BinaryIO:
    """Opens a regular file, or a link to one, for reading bytes; a FIFO or a device is refused without waiting for it.

    links: whether the file may be a link. Raises NotReadable, or OSError where the file cannot be read for now.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if links else os.O_NOFOLLOW))
    except FileNotFoundError as error:
        raise NotReadable(f"{path} does not exist") from error
    except OSError as error:
        if links or error.errno != errno.ELOOP:
            raise
        raise NotReadable(f"{path} is a symbolic link") from error
    except ValueError as error:  # NUL in the name
        raise NotReadable(f"{short(str(path))} is not the name of a file: {error}") from error
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise NotReadable(f"{path} is not a regular file")
    return os.fdopen(number, "rb")


def parse(data: bytes | str, kind: Any, where: str, *, finite: bool = True, paired: bool = True) -> Any:
    """The JSON in `data`, checked against the type `kind`; `where` names its origin in messages.

    An integer beyond 64 bits becomes a float, as in other readers of JSON. `finite` = False lets NaN and infinite
    numbers pass, `paired` = False half a surrogate pair, as data sets hold them in keys that nobody reads. Raises
    NotReadable for these otherwise, for text that is not JSON, nesting deeper than DEPTH and another type than `kind`.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
        value = (_FINITE if finite else _ANY).decode(text)
    except RecursionError:
        raise NotReadable(f"{where}: its JSON is nested deeper than {DEPTH}") from None
    except UnicodeDecodeError as error:
        raise NotReadable(f"{where} is not JSON: byte {error.start} is not UTF-8") from error
    except ValueError as error:
        raise NotReadable(f"{where} is not JSON: {error}") from error
    _bound(value, where, paired)
    return check(value, kind, where)


def check(value: Any, kind: Any, where: str) -> Any:
    """`value` if it is of the type `kind`; an integer is a number where a float is expected. Raises NotReadable."""
    _check(value, kind, where, "")
    return value


def _check(value: Any, kind: Any, where: str, key: str) -> None:
    if kind is Any:
        return
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        _check_union(value, args, where, key)
    elif origin is Literal:
        if not any(type(value) is type(one) and value == one for one in args):
            raise NotReadable(f"{_at(where, key)} is {short(value)}, but one of {short(args)} is expected")
    elif typing.is_typeddict(kind):
        _typed(value, dict, where, key)
        for name, inner in _hints(kind).items():
            if name in value:
                _check(value[name], inner, where, _dot(key, name))
            elif name in kind.__required_keys__:
                raise NotReadable(f"{where} lacks {_dot(key, name)}")
    elif origin is dict:
        _typed(value, dict, where, key)
        if args[1] is not Any:
            for name, inner in value.items():
                _check(inner, args[1], where, _dot(key, name))
    elif origin is list:
        for i, inner in enumerate(_typed(value, list, where, key)):
            _check(inner, args[0], where, f"{key}[{i}]")
    elif origin is tuple:
        if len(_typed(value, list, where, key)) != len(args):
            raise NotReadable(f"{_at(where, key)} has {len(value)} items, but {len(args)} are expected")
        for i, (inner, one) in enumerate(zip(value, args, strict=True)):
            _check(inner, one, where, f"{key}[{i}]")
    else:
        _typed(value, kind, where, key)


_hints = functools.cache(typing.get_type_hints)  # a list may have a hundred thousand items of one type


def _check_union(value: Any, kinds: tuple[Any, ...], where: str, key: str) -> None:
    problems = []
    for kind in kinds:
        try:
            return _check(value, kind, where, key)
        except NotReadable as error:
            problems.append(error)
    # of the kinds that have the right outer type, the message says what is wrong within
    within = [error for kind, error in zip(kinds, problems, strict=True) if type(value) is _outer(kind)]
    raise within[-1] if within else problems[0]


def _outer(kind: Any) -> Any:
    return dict if typing.is_typeddict(kind) else typing.get_origin(kind) or kind


def _typed(value: Any, kind: Any, where: str, key: str) -> Any:
    if type(value) is kind or (kind is float and type(value) is int):
        return value
    raise NotReadable(f"{_at(where, key)} is {_NAMES.get(type(value), short(value))}, but {_NAMES[kind]} is expected")


def _bound(value: Any, where: str, paired: bool) -> None:
    """Refuses deep nesting and text that cannot be encoded; without recursion, whatever the depth."""
    level = [value]
    for _ in range(DEPTH):
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                below += one.keys()
                below += one.values()
            elif isinstance(one, list):
                below += one
            elif paired and isinstance(one, str) and not _encodes(one):
                raise NotReadable(f"{where}: {short(one)} holds half a surrogate pair, which is not text")
        if not below:
            return
        level = below
    raise NotReadable(f"{where}: its JSON is nested deeper than {DEPTH}")


def _encodes(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _integer(text: str, real: Callable[[str], float]) -> int | float:
    """An integer where 64 bits hold it."""
    if len(text) <= 20 and -(2**63) <= (number := int(text)) < 2**63:
        return number
    return real(text)


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"the number {short(text)} is too large")
    return number


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number of JSON")


# made once, as they may decode a million lines
_FINITE = json.JSONDecoder(
    parse_int=functools.partial(_integer, real=_finite), parse_float=_finite, parse_constant=_constant
)
_ANY = json.JSONDecoder(parse_int=functools.partial(_integer, real=float))


def _at(where: str, key: str) -> str:
    return f"{where}: {key}" if key else where


def _dot(key: str, name: str) -> str:
    return f"{key}.{bare(name)}" if key else bare(name)
