"""The members of a tar from front to back, each of bounded size; a tar that is not whole does not end silently.

    for name, content in members(Path("birds.tar"), unusable, skipped):
        ...                                             # "000017.jpg", its bytes

A tar ends with a block of zeros. Where that is missing, or a header in the middle is broken, what follows would be
lost without a word. Behind the end there may be another tar, as `cat` joins them, and it is read as well.
"""

import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gen import jsonfile

BLOCK = tarfile.BLOCKSIZE
STEP = 2048 * BLOCK  # bytes that are searched at a time


class NotWhole(ValueError):
    """A file that is not a tar, is cut short or has a broken header."""


def members(
    path: Path, unusable: Callable[[tarfile.TarInfo], str], skipped: Callable[[str, str], None]
) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the members; those for which `unusable` has a reason go to `skipped` by name and reason.

    Raises NotWhole after the last member that could be read; NotReadable for what is no regular file.
    """
    with jsonfile.open_regular(path) as file:
        try:
            with tarfile.open(fileobj=file) as tar:  # compressed or not
                for member in _every(tar):
                    if reason := unusable(member):
                        skipped(member.name, reason)
                    elif content := tar.extractfile(member):  # None for a directory
                        yield member.name, _whole(content, member.size)
        except _BROKEN as error:
            raise NotWhole(f"{path} is not a whole tar file: {_words(error)}; fetch it again") from error
        except OSError as error:
            if error.errno is None:  # of a decompressor, not of the disk
                raise NotWhole(f"{path} is not a whole tar file: {error}; fetch it again") from error
            raise


# what the parsers of headers and the decompressors raise on bytes that are none of theirs
_BROKEN = (
    tarfile.TarError,
    EOFError,
    ValueError,
    ArithmeticError,
    LookupError,
    MemoryError,
    RecursionError,
    zlib.error,
    lzma.LZMAError,
)


def _every(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members of a tar, and of those that are joined to it."""
    assert tar.fileobj is not None
    at = -1
    while True:
        while (member := tar.next()) is not None:
            if tar.offset <= at:
                raise tarfile.ReadError(f"the header at byte {member.offset:,} points backwards")
            at = tar.offset
            yield member
            tar.members.clear()  # type: ignore[attr-defined]  # a tar of a million members stays small
        start = _next_start(tar.fileobj, tar.offset)
        if start is None:
            return
        tar.fileobj.seek(start)
        tar.offset, at = start, start - 1
        try:
            first = tarfile.TarInfo.fromtarfile(tar)
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"behind its end, at byte {start:,}, stands what is no tar") from error
        yield first


def _next_start(file: Any, end: int) -> int | None:
    """Where another tar begins behind the end of one; None where nothing but zeros follows."""
    file.seek(end)
    block = file.read(BLOCK)
    if block.count(0) != BLOCK:
        raise tarfile.ReadError(
            f"the header at byte {end:,} is broken" if len(block) == BLOCK else "its end is missing"
        )
    at = end + BLOCK
    while chunk := file.read(STEP):
        if chunk.count(0) != len(chunk):
            zeros = len(chunk) - len(chunk.lstrip(b"\0"))
            return at + zeros // BLOCK * BLOCK
        at += len(chunk)
    return None


def _whole(content: Any, size: int) -> bytes:
    data = content.read()
    if len(data) != size:
        raise tarfile.ReadError("a member is cut short")
    return data


def _words(error: BaseException) -> str:
    return str(error).split("\n")[0] or type(error).__name__
