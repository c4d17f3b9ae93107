"""Files of a run directory: written whole or not at all, listed without following links, recorded by SHA-256.

    write_json(Path("run/config.json"), {"seed": 0})
    hashes(Path("run/checkpoints/100"))  ->  {"state/manifest.ocdbt": "9f86d081...", ...}

Directories here may come from elsewhere, so nothing in them is trusted to name a place outside.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gen import jsonfile
from gen.jsonfile import NotReadable


class UnsafePath(ValueError):
    """Something other than a regular file or a directory lies where data is to be read."""


class CannotWrite(OSError):
    """The disk is full, or refuses: what is saved stays, and room must be made."""


def write_json(path: Path, value: Any) -> None:
    """`write_text` of a value."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Replaces the file in one step. Raises CannotWrite."""
    with replacing(path) as partial:
        partial.write_text(text)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to write a file that takes the place of `path` at the end, in one step: a reader, or a crash, also of the
    machine, never meets half of it. Raises CannotWrite."""
    partial = path.with_name(path.name + ".partial")
    with writing(path):
        try:
            yield partial
            _to_disk(partial)
            partial.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise
        with contextlib.suppress(OSError):  # not every file system knows that of a directory
            _to_disk(path.parent)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Makes one sentence of what the disk refuses in between: CannotWrite, naming `path`."""
    try:
        yield
    except CannotWrite:
        raise
    except OSError as error:
        raise CannotWrite(
            f"cannot write to {path}: {error.strerror or error}; make room, mend it, or choose another directory"
        ) from error


def read_json(path: Path, kind: Any = dict[str, Any]) -> Any:
    """The JSON in a file of a run directory, checked against the type `kind` (gen.jsonfile). Raises NotReadable."""
    if not path.exists():
        raise NotReadable(f"{path} does not exist; is {path.parent} the directory of a run?")
    return jsonfile.read(path, kind)


def regular_files(directory: Path) -> dict[str, Path]:
    """{path relative to `directory`: file}, sorted, for every file under it.

    Raises UnsafePath at anything else, such as a symbolic link: data from elsewhere must not lead out of its directory.
    """
    return {str(path.relative_to(directory)): path for path in sorted(_walk(directory))}


def hashes(directory: Path, index: int = 0, count: int = 1) -> dict[str, str]:
    """{relative path: SHA-256} for every file under `directory`, or for the share of one of `count` processes."""
    found = regular_files(directory)
    return {name: sha256(found[name]) for name in share(list(found), index, count)}


def share(names: Sequence[str], index: int, count: int) -> Sequence[str]:
    """The names that process `index` of `count` looks after."""
    return sorted(names)[index::count]


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _to_disk(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _walk(directory: Path) -> Iterator[Path]:
    if directory.is_symlink():
        raise UnsafePath(f"{directory} is a symbolic link; copy the directory that it names to this place instead")
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path)
            else:
                raise UnsafePath(f"{entry.path} is not a regular file; a checkpoint must hold its own files, not links")
