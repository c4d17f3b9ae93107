"""The metrics of a run: one JSON object per logged step, in order, in a file that only grows at its end.

    with Metrics(Path("run/metrics.jsonl"), start=resumed_step) as metrics:
        metrics.write(step, {"loss": 0.25})          # {"step": 100, "loss": 0.25}

A number is written with as many digits as bring back the same float64; NaN and the infinities, which JSON does not
have, are the strings "nan", "inf" and "-inf". A run that resumes at a step cuts off what was logged from that step on,
and half a line that a crash left, so the file ends as that of a run never stopped.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gen.train.files import CannotWrite

_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class Metrics:
    """Appends to a metrics file; in processes other than 0 it writes nothing."""

    def __init__(self, path: Path, start: int):
        """Cuts the file to the steps before `start` and opens it. Raises ValueError where it is damaged, and
        CannotWrite."""
        self._path, self._file = path, None
        if jax.process_index() != 0:
            return
        try:
            self._file = path.open("ab", buffering=0)
            self.cut(start)
        except OSError as error:
            raise CannotWrite(f"cannot write metrics to {path}: {error.strerror}; mend its permissions") from error

    def cut(self, start: int) -> None:
        """Takes back what was logged from step `start` on."""
        if self._file is not None:
            self._file.truncate(_end_before(self._path, start))

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Appends one step, which readers see at once and which stays where this process is killed; a machine that
        loses its power may lose the last ones. Values are Python, NumPy or JAX scalars.

        Raises CannotWrite when the disk is full.
        """
        if self._file is None:
            return
        row = {"step": step, **{name: _encode(value) for name, value in values.items()}}
        left = memoryview(json.dumps(row, allow_nan=False).encode() + b"\n")
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            sentence = f"cannot write step {step} to {self._file.name} ({error.strerror}); make room and start again"
            raise CannotWrite(sentence) from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read(path: Path) -> list[dict[str, int | float]]:
    """Every step logged so far; none if there is no file. ValueError, with the line number, for a damaged line."""
    return [row for row, _ in _rows(path)]


def _rows(path: Path) -> Iterator[tuple[dict[str, int | float], int]]:
    """Each row and the byte where its line ends; half a line at the end of the file is not a row."""
    end = 0
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True) if path.exists() else [], 1):
        if not line.endswith(b"\n"):
            return
        end += len(line)
        try:
            row = {name: _NOT_FINITE[v] if isinstance(v, str) else v for name, v in json.loads(line).items()}
            row["step"] = int(row["step"])
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ValueError(f"{path}, line {number}, is not a logged step; remove the line") from error
        yield row, end


def _end_before(path: Path, start: int) -> int:
    end = 0
    for row, row_end in _rows(path):
        if row["step"] >= start:
            break
        end = row_end
    return end


def _encode(value: Any) -> int | float | str:
    number = np.asarray(value).item()
    if isinstance(number, float) and not math.isfinite(number):
        return str(number)
    return number
