"""Captions files: which captions belong to which image of a folder.

    captions.jsonl      {"image": "birds/7.jpg", "caption": "a robin"}          or "caption": ["a robin", "a red bird"]
    captions.csv        image,caption
                        birds/7.jpg,"a robin, singing"
    metadata.jsonl      {"file_name": "birds/7.jpg", "text": "a robin"}         as Hugging Face's image folders have it
    metadata.csv        file_name,text

Each of the four takes either pair of names, and any other name of the captions that is asked for. The head of a .csv
may be in capitals, and its columns may be parted by semicolons or tabs. An image named on several lines, however it is
spelled, as a.jpg and ./a.jpg, has the captions of all of them. Every fault of a file is found before any is reported,
each with its line.
"""

import csv
import functools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, NamedTuple

from gen.data import jsonlines
from gen.data.entries import checked_text
from gen.data.faults import ParseError, ParseErrors
from gen.data.placed import Placed
from gen.messages import short

FILES = ("captions.jsonl", "captions.csv", "metadata.jsonl", "metadata.csv")
IMAGES, CAPTIONS = ("image", "file_name"), ("caption", "text")
SEPARATORS = ",;\t"


class Captioned(NamedTuple):
    """An image as the file first spells it, and its captions."""

    spelled: str
    captions: tuple[str, ...]


class _Line(NamedTuple):
    number: int
    image: object
    captions: object


def read_captions(path: Path, caption: str = "") -> Mapping[str, Captioned]:
    """{path of the image within the folder: its captions}, in order of first mention.

    `caption` is the name that the captions have; by default "caption", or "text". A file that has not changed is read
    once in a process, in one pass. Raises ValueError listing each faulty line as "file:line: what is wrong"; an image
    must be a regular file inside the folder of the captions file.
    """
    about = path.stat()
    return _read(path, caption, (about.st_ino, about.st_size, about.st_mtime_ns))


@functools.lru_cache(maxsize=2)  # stages of a stack, and the splits of each, read one file
def _read(path: Path, caption: str, _state: tuple[int, ...]) -> Mapping[str, Captioned]:
    faults, placed = ParseErrors(path), Placed(path.parent)
    found: dict[str, Captioned] = {}
    names = (caption,) if caption else CAPTIONS
    read = _csv if path.suffix == ".csv" else _jsonl
    for number, image, captions in read(path, names, faults):
        try:
            texts = tuple(_checked(captions if isinstance(captions, list) else [captions]))
            spelled = checked_text(image, "the image")
            placed.check(spelled)
        except ParseError as fault:
            faults.add(f"{path}:{number}{fault}")
            continue
        name = PurePosixPath(spelled).as_posix()
        before = found.get(name)
        found[name] = Captioned(before.spelled, before.captions + texts) if before else Captioned(spelled, texts)
    faults.check()
    return MappingProxyType(found)


def _checked(captions: Sequence[object]) -> Iterator[str]:
    if not captions:
        raise ParseError(": the image has no caption; write one, or remove the line")
    for caption in captions:
        text = checked_text(caption, "the caption")
        if "\0" in text:
            raise ParseError(": the caption holds NUL, which is not part of a text")
        yield text


def _jsonl(path: Path, names: Sequence[str], faults: ParseErrors) -> Iterator[_Line]:
    for number, line in jsonlines.lines(path):
        try:
            entry = jsonlines.parse(line)
            yield _Line(number, _first(entry, IMAGES), _first(entry, names))
        except ParseError as fault:
            faults.add(f"{path}:{number}{fault}")


def _first(entry: Mapping[str, Any], names: Sequence[str]) -> Any:
    found = next((name for name in names if name in entry), None)
    if found is None:
        raise ParseError(f": the object has no {_either(names)}")
    return entry[found]


def _csv(path: Path, names: Sequence[str], faults: ParseErrors) -> Iterator[_Line]:
    lines = jsonlines.every_line(path)
    _, first = next(lines, (1, b""))
    head = _head(first, names)
    if head is None:
        faults.add(f"{path}:1: the first line must name the columns {_either(IMAGES)} and {_either(names)}")
        return
    separator, image, caption, columns = head
    rows = csv.reader(map(_decoded, lines), delimiter=separator, strict=True)
    number = 1
    try:
        for row in rows:
            number = 1 + rows.line_num
            if not row:
                continue
            if len(row) > columns:
                faults.add(f"{path}:{number}: too many columns; put a text with {separator!r} in double quotes")
            elif any("\udc80" <= letter <= "\udcff" for cell in row for letter in cell):
                faults.add(f"{path}:{number}: not UTF-8; save the file in that encoding")
            else:
                row += [""] * (columns - len(row))
                yield _Line(number, row[image], row[caption])
    except csv.Error as error:
        faults.add(f"{path}:{number + 1}: {error}; nothing was read from here on")


def _head(line: bytes, names: Sequence[str]) -> tuple[str, int, int, int] | None:
    """The separator, the columns of image and caption, and the number of columns, by a file's first line."""
    text = line.decode("utf-8-sig", "replace")
    for separator in SEPARATORS:
        try:
            columns = [column.strip().lower() for column in next(csv.reader([text], delimiter=separator), [])]
        except csv.Error:
            continue
        image, caption = ([name for name in known if name.lower() in columns] for known in (IMAGES, names))
        if image and caption:
            return separator, columns.index(image[0]), columns.index(caption[0].lower()), len(columns)
    return None


def _decoded(numbered: tuple[int, bytes]) -> str:
    number, line = numbered
    if len(line) > jsonlines.LONGEST:
        raise csv.Error(f"the line has more than {jsonlines.LONGEST:,} bytes")
    return line.decode("utf-8", "surrogateescape")


def _either(names: Sequence[str]) -> str:
    return " or ".join(short(name).replace("'", '"') for name in names)
