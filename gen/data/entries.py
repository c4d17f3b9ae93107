"""Small data sets held in memory, entry by entry: read from JSON lines, divided into splits.

    entries = read_lines("/data/chats", parse)                      # of chats/a.jsonl, chats/b.jsonl, ...
    chosen = divided(entries, "chat:/data/chats", "train", test_fraction=0.05)
    chosen[7].name                                                  # "a.jsonl:9"

`parse(name, object)` makes an entry of a line's JSON object or raises `Fault`. Every fault is found before any is
reported, each with its place, so that one round of mending is enough. A hash of its name puts an entry into the train
or the test split, whatever becomes of the others.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from gen.data import jsonlines
from gen.data.faults import Fault, Faults
from gen.data.source import digest, train_or_test


@runtime_checkable
class Entry(Protocol):
    @property
    def name(self) -> str:
        """Tells a person which one it is; unique within a data set."""
        ...


@dataclasses.dataclass(frozen=True)
class Entries[T: Entry]:
    """The entries of one split."""

    name: str  # what a person typed to get it, for messages
    entries: tuple[T, ...]

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


def read_lines[T](place: str | Path, parse: Callable[[str, Mapping[str, Any]], T]) -> list[T]:
    """The entries of a file, or of all .jsonl files in a folder, hidden ones apart, in order; blank lines are none.

    Raises ValueError when there is no file or no line, and for all faulty lines at once.
    """
    root, files = _files(Path(place).expanduser())
    found, faults = [], Faults(place)
    for file in files:
        name = file.relative_to(root).as_posix()
        for number, line in jsonlines.lines(file):
            try:
                found.append(parse(f"{name}:{number}", jsonlines.parse(line)))
            except Fault as fault:
                faults.add(f"{file}:{number}{fault}")
    faults.check()
    if not found:
        raise ValueError(f"there is nothing in {place}; expected JSON lines, in a file or in .jsonl files of a folder")
    return found


def divided[T: Entry](entries: list[T], where: str, split: str, test_fraction: float) -> Entries[T]:
    """The entries of `split`, "train" or "test". Raises ValueError for another split, or one that holds nothing."""
    chosen = train_or_test([entry.name for entry in entries], split, test_fraction, where)
    return Entries(f"{where} ({split})", tuple(entries[i] for i in chosen))


def checked_text(text: object, what: str) -> str:
    """`text`, as it is. Raises Fault when it is no text, or nothing but white space."""
    if not isinstance(text, str):
        raise Fault(f": {what} must be a text, got {type(text).__name__}")
    if not text.strip():
        raise Fault(f": {what} is empty; remove it or write something")
    try:
        text.encode()
    except UnicodeEncodeError as error:  # half a surrogate pair, which JSON can spell
        raise Fault(f": {what} is not text in UTF-8") from error
    return text


def _files(place: Path) -> tuple[Path, list[Path]]:
    """A folder, and files within it in order of their names."""
    if place.is_file():
        return place.parent, [place]
    found = (path for path in place.rglob("*.jsonl") if path.is_file())
    shown = [path for path in found if not any(part.startswith(".") for part in path.relative_to(place).parts)]
    return place, sorted(shown, key=lambda path: path.relative_to(place).as_posix())
