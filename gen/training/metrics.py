"""The metrics of a run: one JSON object per logged step, in order, in a file that only grows at its end.

    with Metrics(Path("run/metrics.jsonl"), start=resumed_step) as metrics:
        metrics.write(step, {"loss": 0.25})          # {"step": 100, "loss": 0.25}
        metrics.seal()                               # {"bytes": 27, "sha256": "5f0c..."}, which a checkpoint keeps

A number is written with as many digits as bring back the same float64; NaN and the infinities, which JSON does not
have, are the strings "nan", "inf" and "-inf". A run that resumes at a step cuts off what was logged from that step on,
and half a line that a crash left, so the file ends as that of a run never stopped. Each checkpoint records the SHA-256
of all lines before it, so that a line that has changed since is noticed. A line has at most LINE bytes.
"""

import contextlib
import hashlib
import itertools
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

import jax
import numpy as np

from gen import files, jsonfile
from gen.files import CannotWrite

LINE = 2**20  # bytes
BLOCK = 2**20  # bytes that are read at a time where lines do not matter

_EMPTY = hashlib.sha256().hexdigest()
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}

type Row = dict[str, int | float]


class Seal(TypedDict):
    """The lines before a step: how many bytes they take, and their SHA-256."""

    bytes: int
    sha256: str


class Metrics:
    """Appends to a metrics file; in processes other than 0 it writes nothing."""

    def __init__(self, path: Path, start: int):
        """Cuts the file to the steps before `start` and opens it.

        Raises ValueError where it is damaged, UnsafePath where it is a link, CannotWrite.
        """
        self.path, self._file = path, None
        self._hash = hashlib.sha256()
        if jax.process_index() != 0:
            return
        try:
            self._file = files.append(path)
            self.cut(start)
        except OSError as error:
            raise CannotWrite(f"cannot write metrics to {path}: {error.strerror}; mend its permissions") from error

    def cut(self, start: int) -> None:
        """Takes back what was logged from step `start` on."""
        if self._file is not None:
            self._file.truncate(_end_before(self.path, start))
            self._hash = _hash_of(self.path)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Appends one step, which readers see at once and which stays where this process is killed; a machine that
        loses its power may lose the lines since the last `seal`. Values are Python, NumPy or JAX scalars.

        Raises CannotWrite when the disk is full.
        """
        if self._file is None:
            return
        row = {"step": step, **{name: _encode(value) for name, value in values.items()}}
        line = json.dumps(row, allow_nan=False).encode() + b"\n"
        with self._writing(f"step {step}"):
            files.write_all(self._file, line)
        self._hash.update(line)

    def seal(self) -> Seal | None:
        """Seals the lines so far, which survive a crash of the machine from here on; None in processes other than 0."""
        if self._file is None:
            return None
        with self._writing("the last steps"):
            os.fsync(self._file.fileno())
        return {"bytes": self._file.seek(0, os.SEEK_END), "sha256": self._hash.hexdigest()}

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            sentence = f"cannot write {what} to {self.path} ({error.strerror}); make room and start again"
            raise CannotWrite(sentence) from error


def read(path: Path) -> list[Row]:
    """Every step logged so far; none if there is no file. ValueError, with the line number, for a damaged line."""
    return list(rows(path))


def rows(path: Path) -> Iterator[Row]:
    """The same, one in memory at a time."""
    return (row for row, _ in _rows(path))


def sealed(path: Path, step: int) -> Seal:
    """The seal of the lines before a step. Raises ValueError for a damaged line."""
    length = _end_before(path, step)
    return {"bytes": length, "sha256": _hash_of(path, length).hexdigest() if path.exists() else _EMPTY}


def holds(path: Path, seal: Seal) -> bool:
    """Whether the file still begins with the lines that a checkpoint has recorded. Raises ValueError where it is no
    regular file."""
    if not path.exists():
        return seal["sha256"] == _EMPTY
    return path.stat().st_size >= seal["bytes"] and _hash_of(path, seal["bytes"]).hexdigest() == seal["sha256"]


def _rows(path: Path) -> Iterator[tuple[Row, int]]:
    """Each row and the byte where its line ends; half a line at the end of the file is not a row."""
    if not path.exists():
        return
    with jsonfile.open_regular(path) as file:
        end = 0
        for number in itertools.count(1):
            line = file.readline(LINE + 1)
            if len(line) > LINE:
                raise ValueError(f"{path}, line {number}, is longer than {LINE:,} bytes; remove the line")
            if not line.endswith(b"\n"):
                return
            end += len(line)
            try:
                yield _row(line), end
            except ValueError as error:
                raise ValueError(f"{path}, line {number}, is not a logged step; remove the line") from error


def _row(line: bytes) -> Row:
    """By hand, as a run may have logged a million of them. Raises ValueError."""
    try:
        row = json.loads(line)
    except RecursionError as error:
        raise ValueError("it is nested") from error
    if not isinstance(row, dict) or not all(map(_is_number, row.values())):
        raise ValueError("it is no object of numbers")
    if type(row.get("step")) is not int or row["step"] < 0:
        raise ValueError("it has no step")
    return {name: _NOT_FINITE[value] if isinstance(value, str) else value for name, value in row.items()}


def _is_number(value: Any) -> bool:
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return math.isfinite(value) if type(value) is float else isinstance(value, str) and value in _NOT_FINITE


def _end_before(path: Path, start: int) -> int:
    end = 0
    for row, row_end in _rows(path):
        if row["step"] >= start:
            break
        end = row_end
    return end


def _hash_of(path: Path, length: int | None = None) -> Any:
    """The SHA-256, still growing, of a file or of its first bytes."""
    found, left = hashlib.sha256(), math.inf if length is None else length
    with jsonfile.open_regular(path) as file:
        while left and (block := file.read(int(min(BLOCK, left)))):
            found.update(block)
            left -= len(block)
    return found


def _encode(value: Any) -> int | float | str:
    number = np.asarray(value).item()
    if isinstance(number, float) and not math.isfinite(number):
        return str(number)
    return number
