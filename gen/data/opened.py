"""Files of text as they lie: compressed or not, in UTF-8, or in UTF-16 or UTF-32 with its mark.

    ending(Path("letters.jsonl.GZ"))                ".jsonl"
    for line in lines(Path("letters.jsonl.gz")): ...    # as bytes, in UTF-8
    text(Path("book.txt.xz"))                       its content; Undecodable where it is no text

Compressed files end with .gz, .bz2, .xz or .zst after the ending of what they hold.
"""

import bz2
import codecs
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from gen import jsonfile

HEAD = 4096  # bytes that tell a text from other content
LONGEST = 2**24  # bytes of a line

MAGIC = {  # how files begin that are no text, however they are called
    b"\x1f\x8b": "compressed by gzip: call it .gz",
    b"BZh": "compressed by bzip2: call it .bz2",
    b"\xfd7zXZ\x00": "compressed by xz: call it .xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: call it .zst",
    b"PK\x03\x04": "a zip archive or an office document: unpack it, or save it as text",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"%PDF": "a PDF: save it as text",
    b"PAR1": "a Parquet file: call it .parquet",
}


class Undecodable(ValueError):
    """The content of a file is no text, in words that follow its name."""


def _zst(file: BinaryIO) -> io.BufferedIOBase:
    import pyarrow  # takes a while, and few texts are compressed so

    return io.BufferedReader(cast(Any, pyarrow.input_stream(file, compression="zstd")))


_OPENERS: dict[str, Callable[[BinaryIO], io.BufferedIOBase]] = {
    ".gz": lambda file: gzip.GzipFile(fileobj=file),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": _zst,
}


def ending(path: Path) -> str:
    """The ending of what a file holds, in lower case: "" where its name has none."""
    return Path(path.stem if compressed(path) else path.name).suffix.lower()


def compressed(path: Path) -> bool:
    return path.suffix.lower() in _OPENERS


@contextlib.contextmanager
def opened(path: Path) -> Iterator[io.BufferedIOBase]:
    """The bytes that a regular file holds, decompressed. Raises ValueError, also while they are read, for a file that
    is not whole, OSError for one that cannot be read."""
    with jsonfile.open_regular(path) as packed:
        if not compressed(path):
            yield cast(io.BufferedIOBase, packed)
            return
        try:
            with _OPENERS[path.suffix.lower()](packed) as file:
                yield file
        except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ValueError(f"{path} is not a whole {path.suffix} file: {error}; fetch it again") from error


def lines(path: Path) -> Iterator[bytes]:
    """The lines, in UTF-8 where the file is in UTF-16 or UTF-32 by its mark; otherwise as they are. Of one that is
    longer than LONGEST the first LONGEST + 1 bytes.

    Raises ValueError as `opened`, and where a file is not in the encoding of its mark.
    """
    with opened(path) as file:
        encoding = _marked(_head(file))
        if encoding is None:
            yield from _bounded(file.readline, b"\n")
            return
        try:
            with io.TextIOWrapper(cast(Any, file), encoding, newline="\n") as texts:
                for line in _bounded(texts.readline, "\n"):
                    yield line.encode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} begins as {encoding} and is not: {error.reason}; fetch it again") from error


def _bounded[T: (bytes, str)](readline: Callable[[int], T], end: T) -> Iterator[T]:
    while line := readline(LONGEST + 1):
        yield line
        while not line.endswith(end) and (line := readline(LONGEST)):
            continue  # the rest of a line that is too long


def text(path: Path) -> str:
    """The whole text. Raises Undecodable for content that is not text, ValueError as `opened`."""
    with opened(path) as file:
        if why := not_text(_head(file)):
            raise Undecodable(f": {why}, or leave it out by options.pattern")
        content = file.read()
    try:
        return decoded(content)
    except Undecodable as fault:
        raise Undecodable(f"{fault}, or leave it out by options.pattern") from fault


def decoded(content: bytes) -> str:
    """The text of a whole file, without a byte order mark. Raises Undecodable."""
    encoding = _marked(content[:4])
    try:
        found = content.decode(encoding or "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        if encoding is not None:
            raise Undecodable(f": byte {error.start} is not {encoding}, as which it begins; fetch it again") from error
        raise Undecodable(
            f":{line}: byte {error.start} is not UTF-8; save the file in that encoding, "
            "as with iconv -f latin1 -t utf-8"
        ) from error
    if "\0" in found:
        line = found.count("\n", 0, found.index("\0")) + 1
        raise Undecodable(f":{line}: a NUL, which no text has; save the file as text")
    return found


def head(path: Path) -> bytes:
    """The first bytes that a file holds."""
    with opened(path) as file:
        return _head(file)


def not_text(start: bytes) -> str:
    """Why a file that begins so is no text, and what to do, or ""."""
    for magic, what in MAGIC.items():
        if start.startswith(magic):
            return f"it is {what}"
    if _marked(start) is not None or b"\0" not in start:
        return ""
    even, odd = start[0::2].count(0), start[1::2].count(0)
    if max(even, odd) > len(start) // 4 > min(even, odd):
        kind = "utf-16le" if odd > even else "utf-16be"
        return f"it looks like UTF-16 without its mark; save it in UTF-8, as with iconv -f {kind} -t utf-8"
    return f"byte {start.index(0)} is NUL, so it is no text; save it as text"


def _head(file: io.BufferedIOBase) -> bytes:
    return cast(Any, file).peek(HEAD)[:HEAD]  # as all of them have it


def _marked(start: bytes) -> str | None:
    """The encoding that a file says it has by the mark at its start, other than UTF-8."""
    if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    return "utf-16" if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else None
