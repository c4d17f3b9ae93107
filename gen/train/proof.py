"""What a checkpoint says that it holds, so that it can be proven: shape, dtype and digest of every array.

    DIR/N/proof/P.json       what process P adds: sums up to the digests over all of them (gen.train.digest)

The files are part of the step, and committed with it. Sums are made in the background, from the same memory that is
written to disk, while the run goes on; they need nothing from the other processes. Each file carries the SHA-256 of
what it says.
"""

import asyncio
import contextlib
import dataclasses
import errno
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from gen.train import digest, files
from gen.train.digest import Piece

FOLDER, FORMAT = "proof", 1
UNREADABLE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EIO)  # and will stay so


class Damaged(ValueError):
    """A checkpoint does not hold what was saved; the message names the file or the array."""


@dataclasses.dataclass(frozen=True)
class Stored:
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
class Contents:
    """What a step says that it holds: {path: Stored}, and the JSON that the run saved with its arrays."""

    arrays: Mapping[str, Stored]
    extra: Mapping[str, Any]

    def digest(self, prefix: str = "") -> str:
        """One digest for the arrays under a prefix, the same on any mesh: what runs that read them record."""
        under = {path: one for path, one in self.arrays.items() if path.startswith(prefix)}
        return digest.combine({path.removeprefix(prefix): one.digest for path, one in under.items()})


@dataclasses.dataclass(frozen=True)
class Proof:
    """What this process proves of a step that is being saved; Orbax has it write its file (StatefulCheckpointable)."""

    shapes: Mapping[str, tuple[tuple[int, ...], str]]
    held: Mapping[str, Sequence[Piece]]
    extra: Mapping[str, Any]

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
        said = {"format": FORMAT, "processes": jax.process_count(), "arrays": arrays, "extra": dict(self.extra)}
        files.write_json(folder / f"{jax.process_index()}.json", {**said, "sha256": _sha256(said)})

    async def load(self, directory: Any) -> Any:
        raise NotImplementedError("read with gen.train.proof.read")


def read(step_dir: Path) -> Contents:
    """What a step says that it holds. Raises Damaged, naming the file, where that cannot be read."""
    first = _read(step_dir / FOLDER / "0.json")
    parts = [first, *(_read(step_dir / FOLDER / f"{process}.json") for process in range(1, first["processes"]))]
    arrays = {}
    for path, said in first["arrays"].items():
        try:
            sums = sum(digest.from_hex(part["arrays"][path]["sums"]) for part in parts)
        except KeyError as error:
            raise Damaged(f"the files of {FOLDER} are of different states: one of them lacks {path}") from error
        arrays[path] = Stored(tuple(said["shape"]), said["dtype"], digest.to_hex(sums))
    return Contents(arrays, first["extra"])


@contextlib.contextmanager
def present(what: str) -> Iterator[None]:
    """Damaged in place of an OSError that says that something is not there, is no file, or is on a bad part of a disk.
    Others, as too many open files or a server that does not answer, say nothing about what was saved."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        raise Damaged(f"{what} cannot be read: {error.strerror}") from error


def _read(path: Path) -> dict[str, Any]:
    name = f"{FOLDER}/{path.name}"
    try:
        with present(f"the file {name}"):
            said = json.loads(path.read_bytes())
        sha256 = said.pop("sha256")
    except Damaged:
        raise
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise Damaged(f"the file {name} cannot be read") from error
    if sha256 != _sha256(said):
        raise Damaged(f"the file {name} has changed since it was saved")
    if said["format"] != FORMAT:
        raise Damaged(f"the file {name} has format {said['format']}, this version of gen reads {FORMAT}")
    return said


def _sha256(said: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
