"""Text files of one's own: a file, or all files of a folder whose names match a pattern.

    notes.txt  manual.md  main.py       a document each; any other ending is the same
    letters.jsonl                       a document a line: {"text": "Dear ..."}
    articles.parquet                    a document a row, in the column "text"

    TextFiles("/data/letters", "train", test_fraction=0.1, field="text", pattern="**/*")

A hash of its name, as "letters.jsonl:7", puts a document into the train or the test split, whatever becomes of the
others. Where there is one document alone, a single text file, the test split is its last part, from a new line on.
Hidden files are passed over. Every fault is found before any is reported, each with its place.
"""

import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

from gen.data.corpus import Document
from gen.data.source import digest, is_test
from gen.data.textrows import ROWS, Content, Fault

SHOWN = 20  # faults spelled out in one message


class TextFiles:
    """One split of the documents at `place`; `field` is the key of JSON lines and the column of Parquet files."""

    def __init__(self, place: str | Path, split: str, test_fraction: float, field: str, pattern: str):
        """Raises ValueError when there is no file, no such split, or a fraction outside [0, 1]."""
        self.name = f"text:{place} ({split})"
        self.skipped: dict[str, str] = {}
        if split not in ("train", "test"):
            raise ValueError(f'text:{place} has no split {split!r}; its splits are "train" and "test"')
        if not 0 <= test_fraction <= 1:
            raise ValueError(f"text:{place}: test_fraction is {test_fraction}, expected a number from 0 to 1")
        self._test, self._fraction, self._field = split == "test", test_fraction, field
        self._root, self._files = _files(Path(place).expanduser(), pattern)
        if not self._files:
            raise ValueError(f"there is no text at {place}; expected a file, or a folder with files like {pattern}")
        self._one = len(self._files) == 1 and all(file.suffix.lower() not in ROWS for file in self._files.values())
        contents = (part for name, file in self._files.items() for part in (name, _sha(file)))
        self.fingerprint = digest("text", split, str(test_fraction), field, *contents)

    def __len__(self) -> int:
        return self._count

    def documents(self) -> Iterator[Document]:
        """Raises ValueError, after the last document, when some cannot be read, and when there is none."""
        faults, count = [], 0
        for name, content in self._entries():
            try:
                text = self._part(content())
            except Fault as fault:
                faults.append(f"{self._root / name}{fault}")
                continue
            if text:
                count += 1
                yield Document(name, text)
        if faults:
            more = f"\n... and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
            raise ValueError(f"{self.name} has {len(faults)} faults; mend them\n" + "\n".join(faults[:SHOWN]) + more)
        if not count:
            raise ValueError(f"{self.name} holds no text; change test_fraction={self._fraction} or add documents")

    @functools.cached_property
    def _count(self) -> int:
        return sum(1 for _ in self._entries())

    def _entries(self) -> Iterator[tuple[str, Content]]:
        """The names of the documents in the split, each with what reads it."""
        for file_name, file in self._files.items():
            if (ending := file.suffix.lower()) in ROWS:
                rows = ((f"{file_name}:{number}", row) for number, row in ROWS[ending](file, self._field))
                yield from ((name, row) for name, row in rows if self._chosen(name))
            elif self._one or self._chosen(file_name):
                yield file_name, functools.partial(_whole, file)

    def _chosen(self, name: str) -> bool:
        return is_test(name, self._fraction) == self._test

    def _part(self, text: str) -> str:
        """A text that is alone, divided between the splits; any other as it is."""
        if not self._one:
            return text
        cut = round(len(text) * (1 - self._fraction))
        if 0 < cut < len(text):
            cut = text.find("\n", cut, len(text) - 1) + 1 or cut
        return text[cut:] if self._test else text[:cut]


def _files(place: Path, pattern: str) -> tuple[Path, dict[str, Path]]:
    """A folder, and {path within it: file} in order."""
    if place.is_file():
        return place.parent, {place.name: place}
    try:
        names = {path.relative_to(place).as_posix(): path for path in place.glob(pattern) if path.is_file()}
    except (ValueError, NotImplementedError) as error:
        raise ValueError(f"text:{place}: the pattern {pattern!r} matches no files: {error}") from error
    return place, {name: names[name] for name in sorted(names) if not _hidden(name)}


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in Path(name).parts)


def _whole(file: Path) -> str:
    content = file.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Fault(
            f":{line}: byte {error.start} is not UTF-8; save the file in that encoding, "
            "as with iconv -f latin1 -t utf-8, or leave it out by options.pattern"
        ) from error


def _sha(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
