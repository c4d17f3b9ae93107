r"""Lines of text and of JSON from anywhere, read within bounds; every fault has its line.

    for number, line in lines(Path("chats.jsonl")):     # 1, b'{"text": "Hi"}\n'
        entry = parse(line)                             # {"text": "Hi"}, or raises Fault

All readers of JSON lines are built on these two, so that a byte order mark, UTF-16, half a surrogate pair, a line
without end and brackets without end mean the same for captions, conversations, rankings, labels and prompts.
"""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gen import jsonfile
from gen.data.faults import Fault

LONGEST = 2**24  # bytes of a line

_MARKS = {  # the longer first, as one begins like another
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of `every_line` that are not blank."""
    return ((number, line) for number, line in every_line(file) if line.strip())


def every_line(file: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a regular file, by number from 1; of one that is too long, the first LONGEST + 1 bytes.

    Raises NotReadable for a file in UTF-16 or UTF-32, and for what is missing or no regular file.
    """
    with jsonfile.open_regular(file) as content:
        if encoding := encoding_of(content.read(4)):
            raise jsonfile.NotReadable(f"{file} is {encoding}; save it as UTF-8")
        content.seek(0)
        number = 0
        while line := content.readline(LONGEST + 1):
            number += 1
            yield number, line
            while not line.endswith(b"\n") and (line := content.readline(LONGEST)):
                continue  # the rest of a line that is too long


def encoding_of(start: bytes) -> str | None:
    """The encoding of a file by its first four bytes, where it is another than UTF-8: by its mark, or by its zeros."""
    marked = next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)
    zeros = [byte == 0 for byte in start]
    return marked or ("UTF-16" if zeros in ([False, True] * 2, [True, False] * 2) else None)


def text(line: bytes) -> str:
    """A line as text, without its end and a byte order mark. Raises Fault for what is too long or not UTF-8."""
    if len(line) > LONGEST:
        raise Fault(f": the line has more than {LONGEST:,} bytes")
    try:
        return line.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        letters = len(line[: error.start].decode("utf-8-sig"))
        what = f"byte 0x{line[error.start]:02x} at character {letters + 1} is not UTF-8"
        raise Fault(f": {what}; save the file as UTF-8") from error


def parse(line: bytes) -> dict[str, Any]:
    """The object that a line of JSON holds. Raises Fault, which follows the name of the line."""
    try:
        return jsonfile.parse(text(line), dict[str, Any], "the line", finite=False)
    except jsonfile.NotReadable as error:
        raise Fault(f": {error}; write one JSON object a line") from error
