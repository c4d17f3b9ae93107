"""Files of a run directory: written whole or not at all, never through a link, recorded by SHA-256.

    write_json(Path("run/config.json"), {"seed": 0})
    with append(Path("run/metrics.jsonl")) as file: ...
    hashes(Path("run/checkpoints/100"))  ->  {"state/manifest.ocdbt": "9f86d081...", ...}

Directories here may come from elsewhere, so nothing in them is trusted to name a place outside: links are not followed
where files are listed, and refused where they are written.
"""

import contextlib
import hashlib
import io
import json
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gen import jsonfile
from gen.jsonfile import NotReadable

PARTIAL = ".partial"  # ends the name of a file that is being written


class UnsafePath(ValueError):
    """Something other than a regular file or a directory lies where data is to be read or written."""


class CannotWrite(OSError):
    """The disk is full, or refuses: what is saved stays, and room must be made."""


def cache_folder(given: str | None = None) -> Path:
    """Where what can be made again is kept: `given`, $GEN_CACHE, or ~/.cache/gen."""
    return Path(given or os.environ.get("GEN_CACHE") or "~/.cache/gen").expanduser()


def write_json(path: Path, value: Any) -> None:
    """`write_text` of a value."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Replaces the file in one step. Raises CannotWrite, or UnsafePath where it is a link."""
    with replacing(path) as partial:
        partial.write_text(text)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to write a file that takes the place of `path` at the end, in one step: a reader, or a crash, also of the
    machine, never meets half of it. Raises CannotWrite, or UnsafePath where a link is in the way."""
    partial = path.with_name(path.name + PARTIAL)
    with writing(path):
        check_own(path)
        check_own(partial)
        try:
            _create(partial)
            yield partial
            _to_disk(partial)
            partial.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise
        with contextlib.suppress(OSError):  # not every file system knows that of a directory
            _to_disk(path.parent)


def append(path: Path) -> io.FileIO:
    """Opens a file, made if need be, to write and read at its end, unbuffered.

    Raises UnsafePath where it is a link or no regular file, or has a second name elsewhere; OSError.
    """
    check_own(path)
    number = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    try:
        _check_alone(path, os.fstat(number))
        return os.fdopen(number, "ab+", buffering=0)
    except BaseException:
        os.close(number)
        raise


def append_text(path: Path, text: str) -> None:
    """Adds whole lines, behind the end of one that was never finished. Raises as `append`."""
    with append(path) as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                write_all(file, b"\n")
        write_all(file, text.encode())


def write_all(file: io.RawIOBase, data: bytes) -> None:
    """Writes to an unbuffered file, which may take a part at a time."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def make_folder(path: Path) -> Path:
    """`path`, a folder inside of a run directory, made if need be. Raises CannotWrite, or UnsafePath where it is a
    link."""
    with writing(path):
        check_own(path)
        path.mkdir(parents=True, exist_ok=True)
    return path


def check_own(path: Path) -> None:
    """Raises UnsafePath where `path` is a symbolic link, or neither a file nor a folder: what is written there would
    land elsewhere."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return  # writing says so
    if stat.S_ISLNK(mode):
        raise UnsafePath(
            f"{path} is a symbolic link, which is not written through; remove it"
            " (the directory of a run may be a link as a whole)"
        )
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UnsafePath(f"{path} is not a regular file; remove it")


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


def _create(path: Path) -> None:
    """Makes an empty file of no other name; what a crash has left there is removed, and not written to."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666))


def _check_alone(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise UnsafePath(f"{path} is not a regular file; remove it")
    if found.st_nlink > 1:
        raise UnsafePath(
            f"{path} is a hard link, and writing would change its other names: copy it to a file of its own"
        )


def _to_disk(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _walk(directory: Path) -> Iterator[Path]:
    if directory.is_symlink():
        raise UnsafePath(f"{directory} is a symbolic link; copy the directory that it names to this place instead")
    left = [str(directory)]
    while left:
        with os.scandir(left.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield Path(entry.path)
                else:
                    raise UnsafePath(
                        f"{entry.path} is not a regular file; a checkpoint must hold its own files, not links"
                    )
