"""What a checkpoint says that it holds, so that it can be proven: shape, dtype and digest of every array.

    DIR/N/proof/P.json       what process P adds: sums up to the digests over all of them (gen.checkpoint.digest)

The files are part of the step, and committed with it. Sums are made in the background, from the same memory that is
written to disk, while the run goes on; they need nothing from the other processes. Each file carries the SHA-256 of
what it says, of which step and run among it (identity.py), and has at most SIZE bytes: room for half a million arrays.
"""

import asyncio
import contextlib
import dataclasses
import errno
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import jax
import jax.numpy as jnp

from gen import files, jsonfile
from gen.checkpoint import digest
from gen.checkpoint.digest import ArrayPart
from gen.jsonfile import NotReadable
from gen.messages import short

FOLDER, FORMAT = "proof", 1
SIZE = 64 * 2**20  # bytes of one of its files
LARGEST = 2**63 - 1  # elements of an array
UNREADABLE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EIO)  # and will stay so


class DamagedCheckpoint(ValueError):
    """A checkpoint does not hold what was saved; the message names the file or the array."""


class Origin(TypedDict):
    """Of which step, of which run with which config a checkpoint is; one that no run has saved has a step alone."""

    step: int
    run: NotRequired[str]
    config: NotRequired[str]


class _Array(TypedDict):
    shape: list[int]
    dtype: str
    sums: str


class _File(TypedDict):
    format: int
    processes: int
    arrays: dict[str, _Array]
    extra: dict[str, Any]
    origin: NotRequired[Origin]
    sha256: NotRequired[str]  # of the rest


@dataclasses.dataclass(frozen=True)
class ArrayRecord:
    """One array of a checkpoint: its shape, the name of its dtype, its digest."""

    shape: tuple[int, ...]
    dtype: str
    digest: str

    @property
    def empty(self) -> bool:
        return 0 in self.shape

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * jnp.dtype(self.dtype).itemsize


@dataclasses.dataclass(frozen=True)
class StepManifest:
    """The contents that a step claims: {path: Stored}, the JSON that the run saved with its arrays, and of which step
    and run it is, None where that was not recorded, as by version 0.1.0."""

    arrays: Mapping[str, ArrayRecord]
    extra: Mapping[str, Any]
    origin: Origin | None = None

    def digest(self, prefix: str = "") -> str:
        """One digest for the arrays under a prefix, the same on any mesh: what runs that read them record."""
        under = {path: one for path, one in self.arrays.items() if path.startswith(prefix)}
        return digest.combine({path.removeprefix(prefix): one.digest for path, one in under.items()})


@dataclasses.dataclass(frozen=True)
class StepChecksums:
    """What this process proves of a step that is being saved; Orbax has it write its file (StatefulCheckpointable)."""

    shapes: Mapping[str, tuple[tuple[int, ...], str]]
    held: Mapping[str, Sequence[ArrayPart]]
    extra: Mapping[str, Any]
    origin: Origin

    async def save(self, directory: Any) -> Any:
        """What is returned is awaited in the background."""
        return self._write(directory)

    async def _write(self, directory: Any) -> None:
        place = Path(await directory.await_creation())
        await asyncio.to_thread(self.write, place)

    def write(self, folder: Path) -> None:
        sums = digest.own_sums(self.held)
        arrays = {
            path: {"shape": shape, "dtype": dtype, "sums": digest.to_hex(sums[path])}
            for path, (shape, dtype) in self.shapes.items()
        }
        said = {"format": FORMAT, "processes": jax.process_count(), "arrays": arrays}
        said |= {"extra": dict(self.extra), "origin": self.origin}
        files.write_json(folder / f"{jax.process_index()}.json", {**said, "sha256": _sha256(said)})

    async def load(self, directory: Any) -> Any:
        raise NotImplementedError("read with gen.checkpoint.checksums.read")


def read(step_dir: Path) -> StepManifest:
    """What a step says that it holds. Raises DamagedCheckpoint, naming the file, where that cannot be read."""
    first = _read(step_dir / FOLDER / "0.json")
    parts = [first, *(_read(step_dir / FOLDER / f"{process}.json") for process in range(1, first["processes"]))]
    arrays = {}
    for path, said in first["arrays"].items():
        try:
            sums = sum(digest.from_hex(part["arrays"][path]["sums"]) for part in parts)
        except KeyError as error:
            raise DamagedCheckpoint(
                f"the files of {FOLDER} are of different states: one of them lacks {short(path)}"
            ) from error
        arrays[path] = ArrayRecord(tuple(said["shape"]), said["dtype"], digest.to_hex(sums))
    return StepManifest(arrays, first["extra"], first.get("origin"))


@contextlib.contextmanager
def present(what: str) -> Iterator[None]:
    """DamagedCheckpoint in place of an OSError that says that something is not there, is no file, or is on a bad
    part of a disk. Others, as too many open files or a server that does not answer, say nothing about what was
    saved."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        raise DamagedCheckpoint(f"{what} cannot be read: {error.strerror}") from error


def _read(path: Path) -> _File:
    name = f"{FOLDER}/{path.name}"
    try:
        with present(f"the file {name}"):
            said: dict[str, Any] = jsonfile.read(path, size=SIZE)
        if "sha256" not in said:
            raise NotReadable("it lacks sha256")
        if said.pop("sha256") != _sha256(said):
            raise DamagedCheckpoint(f"the file {name} has changed since it was saved")
        if said.get("format") != FORMAT:
            raise DamagedCheckpoint(
                f"the file {name} has format {short(said.get('format'))}, this version of gen reads {FORMAT}"
            )
        checked: _File = jsonfile.check(said, _File, name)
    except NotReadable as error:
        raise DamagedCheckpoint(f"the file {name} cannot be read: {error}") from error
    for array, one in checked["arrays"].items():
        if problem := _problem(one):
            raise DamagedCheckpoint(f"the file {name} says of the array {short(array)} that {problem}")
    return checked


def _problem(said: _Array) -> str | None:
    """Why there is no such array, None where there can be."""
    if not re.fullmatch(r"[0-9a-f]{16}", said["sums"]):
        return f"its digest is {short(said['sums'])}"
    if any(size < 0 for size in said["shape"]) or math.prod(said["shape"]) > LARGEST:
        return f"its shape is {short(said['shape'])}"
    return None if digest.has_digest(said["dtype"]) else f"its dtype is {short(said['dtype'])}"


def _sha256(said: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
