"""Checkpoints examined where they lie, without a model, without accelerators, and with little memory.

    problems(Path("run/checkpoints/100"))       # [] for an intact one
    differences(Path("a/checkpoints/100"), Path("b/checkpoints/100"))

A step is read a part at a time, so that it may be larger than the memory.
"""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import SingleDeviceSharding

from gen import files
from gen.checkpoint import checksums, step_dir
from gen.checkpoint.checksums import ArrayRecord, DamagedCheckpoint, StepManifest
from gen.files import UnsafePath
from gen.messages import short

PART = 2**30  # bytes that are read at a time
NAMED = 20  # arrays that are missing are named, of so many


class Difference(NamedTuple):
    """How an array differs between two steps; `largest` is the largest absolute difference, `relative` the root mean
    square of the difference over that of the first; both None where shapes differ or one is not there."""

    path: str
    said: str
    largest: float | None = None
    relative: float | None = None


def problems(path: Path) -> list[str]:
    """What is wrong with a step, a sentence each: all damaged files, and all arrays that are not what was saved.

    Raises OSError where it cannot be read for now."""
    try:
        with checksums.present(f"the step {path.name}"):
            present = files.regular_files(path)
        recorded = step_dir.recorded_files(path)
    except (DamagedCheckpoint, UnsafePath) as error:
        return [str(error)]
    found = [f"the file {name} is missing" for name in recorded if name not in present]
    for name, sha256 in recorded.items():
        try:
            if name in present:
                step_dir.check_file(name, present[name], sha256)
        except DamagedCheckpoint as error:
            found.append(str(error))
    try:
        contents = step_dir.contents(path)
        lost = step_dir.missing(path, contents.arrays)
        found += [f"the array {short(name)} {problem}" for name, problem in itertools.islice(lost.items(), NAMED)]
        found += [f"and {len(lost) - NAMED:,} more arrays"] if len(lost) > NAMED else []
        for part in _parts({name: one for name, one in contents.arrays.items() if name not in lost}):
            found += _wrong_arrays(path, contents, part)
    except DamagedCheckpoint as error:
        found.append(str(error))
    return found


def arrays(path: Path, contents: StepManifest, prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """(path, array) of the arrays under a prefix, verified, a part in memory at a time. Raises DamagedCheckpoint."""
    wanted = {name: stored for name, stored in contents.arrays.items() if name.startswith(prefix)}
    for part in _parts(wanted):
        for name, array in step_dir.load(path, contents, _here(part)).items():
            yield name, np.asarray(array)


def differences(one: Path, other: Path) -> list[Difference]:
    """What differs between the arrays of two steps, by digest first. Raises DamagedCheckpoint where one is not
    intact."""
    first, second = intact(one), intact(other)
    found = [Difference(name, f"only in {one}") for name in sorted(first.arrays.keys() - second.arrays.keys())]
    found += [Difference(name, f"only in {other}") for name in sorted(second.arrays.keys() - first.arrays.keys())]
    for name in sorted(first.arrays.keys() & second.arrays.keys()):
        here, there = first.arrays[name], second.arrays[name]
        if (here.shape, here.dtype) != (there.shape, there.dtype):
            found.append(Difference(name, f"{here.dtype}{list(here.shape)}, {there.dtype}{list(there.shape)}"))
        elif here.digest != there.digest:
            x = step_dir.load(one, first, _here([name]), present=True)[name]
            y = step_dir.load(other, second, _here([name]), present=True)[name]
            found.append(_apart(name, np.asarray(x), np.asarray(y)))
    return found


def intact(path: Path) -> StepManifest:
    """What a step holds, once its files are those that were saved, or where they are not recorded its arrays. Raises
    DamagedCheckpoint or UnsafePath."""
    contents = step_dir.check(path)
    if lost := step_dir.missing(path, contents.arrays):
        raise DamagedCheckpoint(
            "; ".join(f"the array {short(name)} {problem}" for name, problem in [*lost.items()][:NAMED])
        )
    if not step_dir.recorded_files(path):
        for part in _parts(contents.arrays):
            step_dir.load(path, contents, _here(part), present=True)
    return contents


def _apart(name: str, x: np.ndarray, y: np.ndarray) -> Difference:
    x, y = x.astype(np.float64), y.astype(np.float64)
    scale = float(np.sqrt(np.mean(x**2)))
    largest, apart = float(np.abs(x - y).max()), float(np.sqrt(np.mean((x - y) ** 2)))
    return Difference(name, f"{np.count_nonzero(x != y):,} of {x.size:,}", largest, apart / scale if scale else None)


def _wrong_arrays(path: Path, contents: StepManifest, part: list[str]) -> list[str]:
    """Those of a part that cannot be read or have another digest; read one by one where together they fail."""
    try:
        step_dir.load(path, contents, _here(part), present=True)
        return []
    except DamagedCheckpoint as error:
        if len(part) == 1:
            return [str(error)]
        return [problem for name in part for problem in _wrong_arrays(path, contents, [name])]


def _parts(stored: Mapping[str, ArrayRecord]) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    for name, one in stored.items():
        part.append(name)
        size += one.bytes
        if size > PART:
            yield part
            part, size = [], 0
    if part:
        yield part


def _here(names: Any) -> dict[str, SingleDeviceSharding]:
    return dict.fromkeys(names, SingleDeviceSharding(jax.devices("cpu")[0]))
