r"""Lines of text and of JSON from anywhere, read within bounds; every fault has its line.

    for number, line in lines(Path("chats.jsonl")):     # 1, b'{"text": "Hi"}\n'
        entry = parse(line)                             # {"text": "Hi"}, or raises Fault

All readers of JSON lines are built on these two, so that a byte order mark, UTF-16, half a surrogate pair, a line
without end and brackets without end mean the same for captions, conversations, rankings, labels and prompts.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gen import jsonfile
from gen.data import opened
from gen.data.faults import ParseError
from gen.data.opened import LONGEST


def lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of `every_line` that are not blank."""
    return ((number, line) for number, line in every_line(file) if line.strip())


def every_line(file: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file (gen.data.opened), by number from 1, compressed or in UTF-16 as well.

    Raises NotReadable, or another ValueError, for what is missing, not a regular file or not whole, and for a file in
    UTF-16 without its mark.
    """
    if why := opened.not_text(opened.head(file)):
        raise jsonfile.NotReadable(f"{file} holds no lines of text: {why}")
    yield from enumerate(opened.lines(file), 1)


def text(line: bytes) -> str:
    """A line as text, without its end and a byte order mark. Raises Fault for what is too long or not UTF-8."""
    if len(line) > LONGEST:
        raise ParseError(f": the line has more than {LONGEST:,} bytes")
    try:
        return line.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        letters = len(line[: error.start].decode("utf-8-sig"))
        what = f"byte 0x{line[error.start]:02x} at character {letters + 1} is not UTF-8"
        raise ParseError(f": {what}; save the file as UTF-8") from error


def parse(line: bytes, paired: bool = True) -> dict[str, Any]:
    """The object that a line of JSON holds; with `paired` it has no half surrogate pair (gen.jsonfile). Raises Fault,
    which follows the name of the line."""
    try:
        return jsonfile.parse(text(line), dict[str, Any], "the line", finite=False, paired=paired)
    except jsonfile.NotReadable as error:
        raise ParseError(f": {error}; write one JSON object a line") from error
