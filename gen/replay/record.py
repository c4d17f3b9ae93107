"""Records of what was made, from whatever hands they come: a file's text, its JSON, and from that a dataclass.

record = build(Text, parse(line, where), where)
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gen import config, jsonfile
from gen.jsonfile import NotReadable

MOST = 4096  # samples of one record
SIZE = 2**30  # bytes of a file of texts
SEEDS = 2**32


@dataclasses.dataclass(frozen=True)
class Weights:
    """Which weights made something: those of a run's step, or of a directory that others wrote."""

    digest: str
    step: int | None = None
    part: str | None = None
    config_sha256: str | None = None
    directory: str | None = None


def read_text(path: Path) -> str:
    """The text of a file, with the ends of lines that it has. Raises ValueError where there is none."""
    try:
        with jsonfile.open_regular(path) as file:
            data = file.read(SIZE + 1)
        if len(data) > SIZE:
            raise ValueError(f"{path} is larger than {SIZE:,} bytes; cut it into files of fewer lines")
        return data.decode()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8; gen did not write it, or it has been changed") from error


def parse(text: str, where: str) -> dict[str, Any]:
    """A record's fields, unchecked. Raises ValueError for text that is no JSON object."""
    try:
        return jsonfile.parse(text, dict[str, Any], where)
    except NotReadable as error:
        raise NotReadable(f"{error}; gen did not write it, or it has been changed") from error


def build[T](kind: type[T], data: Mapping[str, Any], where: str | Path) -> T:
    """The fields that replaying takes; others are left alone. Raises ValueError for one that is missing, of another
    type, or refused by `kind`."""
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    for field in fields:
        if field.name not in data and field.default is dataclasses.MISSING:
            raise ValueError(
                f"{where} has a record without {field.name!r}: it is of an older gen, or of something that is not made"
                " again, as a label"
            )
    try:
        return config.build(kind, {field.name: data[field.name] for field in fields if field.name in data}, "record")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} has a record that makes no sense: {error}") from error


def check_place(seed: int, num: int, index: int) -> None:
    """Raises ValueError for a sample that cannot be one of `num` of a seed."""
    if not 0 < num <= MOST:
        raise ValueError(f"it is one of {num} samples; at most {MOST} are made again")
    if not 0 <= index < num:
        raise ValueError(f"it says that it is number {index} of {num}, counted from 0")
    if not 0 <= seed < SEEDS:
        raise ValueError(f"its seed {seed} is none from 0 to {SEEDS - 1}")
