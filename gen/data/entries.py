"""Small data sets held in memory, entry by entry: read from files with one a row (textrows.py), divided into splits.

    entries = read_rows("/data/chats", "messages", parse)           # of chats/a.jsonl, chats/b.json.gz, ...
    chosen = divided(entries, "chat:/data/chats", "train", test_fraction=0.05, split_by="content")
    chosen[7].name                                                  # "a.jsonl:9"

`parse(name, object)` makes an entry of a row or raises `Fault`. Every fault is found before any is reported, each with
its place, so that one round of corrections is enough. A hash of its content, whatever its place and its spelling, puts
an entry into the train or the test split, so that equal entries are in one. By "position", the rule of version 0.1.0,
it is a hash of its name, and a row that is put in at the top of a file moves those below.
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from gen.data import opened
from gen.data.faults import ParseError, ParseErrors
from gen.data.filekinds import DATA, TEXT, NotData, kind_of
from gen.data.notes import left_out
from gen.data.source import RowRule, digest, train_or_test
from gen.data.textrows import ROWS, NoColumn

SHOWN = 20  # files that are left out, spelled out in one message
ENDINGS = (*DATA, ".json")


@runtime_checkable
class Entry(Protocol):
    """A tuple of plain values whose first is its name."""

    @property
    def name(self) -> str:
        """Tells a person which one it is; unique within a data set."""
        ...

    def __getitem__(self, index: slice, /) -> tuple[Any, ...]: ...


@dataclasses.dataclass(frozen=True)
class InMemoryDataset[T: Entry]:
    """The entries of one split."""

    name: str  # what a person typed to get it, for messages
    entries: tuple[T, ...]
    notes: tuple[str, ...] = ()  # what a person should know of it, a sentence each

    @property
    def fingerprint(self) -> str:
        """Hex digest: equal digests hold equal entries in equal order."""
        return digest("entries", *map(repr, self.entries))

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> T:
        return self.entries[index]

    def __iter__(self) -> Iterator[T]:
        return iter(self.entries)


def read_rows[T: Entry](
    place: str | Path, key: str, parse: Callable[[str, Mapping[str, Any]], T], split_by: RowRule
) -> InMemoryDataset[T]:
    """The entries of a file, or of those in a folder that have rows with `key`, hidden ones apart, in order.

    A file alone, of whatever ending, is read as JSON lines unless it is something else (filekinds.py). Of a folder that
    is divided by position, the rule of version 0.1.0, the .jsonl files alone are read, as in that version. Raises
    ValueError when there is no file or no row, and for all faulty rows at once.
    """
    root, kinds, others = _kinds(Path(place).expanduser(), key, split_by)
    found, faults = [], ParseErrors(place)
    for file, kind in kinds.items():
        name = file.relative_to(root).as_posix()
        try:
            for number, row in ROWS[kind](file, key):
                try:
                    found.append(parse(f"{name}:{number}", row()))
                except ParseError as fault:
                    faults.add(f"{file}:{number}{fault}")
        except NoColumn as fault:
            others[name] = str(fault).removeprefix(str(file))
    faults.check()
    if not found:
        listed = "".join(f"\n{root / name}{fault}" for name, fault in list(others.items())[:SHOWN])
        raise ValueError(
            f"there is nothing in {place}; expected JSON lines or other rows, in a file or in files of a folder{listed}"
        )
    total = len({file.relative_to(root).as_posix() for file in kinds} | others.keys())
    return InMemoryDataset(str(place), tuple(found), tuple(left_out(str(place), others, total)))


def divided[T: Entry](
    entries: InMemoryDataset[T], where: str, split: str, test_fraction: float, split_by: RowRule
) -> InMemoryDataset[T]:
    """The entries of `split`, "train" or "test". Raises ValueError for another split, or one that holds nothing."""
    chosen = train_or_test([split_key(entry, split_by) for entry in entries], split, test_fraction, where)
    return InMemoryDataset(f"{where} ({split})", tuple(entries[i] for i in chosen), entries.notes)


def split_key(entry: Entry, split_by: RowRule) -> str:
    """The key whose hash puts an entry into a split."""
    return entry.name if split_by == "position" else json.dumps(entry[1:])


def checked_text(text: object, what: str) -> str:
    """`text`, as it is. Raises Fault when it is no text, or nothing but white space."""
    if not isinstance(text, str):
        raise ParseError(f": {what} must be a text, got {type(text).__name__}")
    if not text.strip():
        raise ParseError(f": {what} is empty; remove it or write something")
    try:
        text.encode()
    except UnicodeEncodeError as error:  # half a surrogate pair, which JSON can spell
        raise ParseError(f": {what} is not text in UTF-8") from error
    return text


def _kinds(place: Path, key: str, split_by: RowRule) -> tuple[Path, dict[Path, str], dict[str, str]]:
    """A folder, {file within it: kind} in order of names, and {name: why not} of data that has no rows with `key`."""
    if place.is_file():
        try:
            kind = kind_of(place, key)
        except NotData as fault:
            if opened.ending(place) in ENDINGS:
                raise ValueError(f"{place}{fault}") from fault
            kind = TEXT
        return place.parent, {place: "jsonl" if kind == TEXT else kind}, {}
    is_read = lambda path: path.suffix == ".jsonl" if split_by == "position" else opened.ending(path) in ENDINGS
    files = (path for path in place.rglob("*") if is_read(path) and path.is_file())
    names = {path.relative_to(place).as_posix(): path for path in files}
    kinds, others = {}, {}
    for name in sorted(names):
        if any(part.startswith(".") for part in Path(name).parts):
            continue
        try:
            kinds[names[name]] = kind_of(names[name], key)
        except NotData as fault:
            others[name] = str(fault)
    return place, kinds, others
