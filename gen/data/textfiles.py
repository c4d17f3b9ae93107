"""Text files of one's own: a file, or all files of a folder whose names match a pattern.

    notes.txt  manual.md  main.py       a document each, as with other endings of prose and code (filekinds.py)
    letters.jsonl  letters.ndjson       a document a line: {"text": "Dear ..."}; a list of such objects in .json
    letters.csv  letters.tsv            a document a row, in the column "text" of those that the first line names
    articles.parquet                    a document a row, in the column "text"

Each may be compressed, as letters.jsonl.gz, .bz2, .xz or .zst.

    TextFiles("/data/letters", "train", test_fraction=0.1, field="text", pattern="**/*")

A hash puts a document into the train or the test split, whatever becomes of the others: of a file that is a document
that of its name, of a row that of its text, so that equal texts are in one split, wherever they stand and however they
are written. By "position", the rule of version 0.1.0, a row goes by its name, as "letters.jsonl:7", and one that is put
in at the top of a file moves those below. Where there is one document alone, a single text file, the test split is its
last part, from a new line on.
Hidden files are passed over; files of a folder that are neither text nor data are left out, and noted. Every fault is
found before any is reported, each with its place.
"""

import contextlib
import functools
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from gen.config import nearest
from gen.data import opened
from gen.data.corpus import Document
from gen.data.faults import SHOWN, ParseError, ParseErrors
from gen.data.filekinds import FORMATS, TEXT, NotData, Unknown, kind_of
from gen.data.notes import left_out
from gen.data.source import RowRule, digest, is_test
from gen.data.textrows import ROWS, NoColumn, text_of

ADVICE = f"say what it is by options.format, one of {', '.join(FORMATS)}, or leave it out by options.pattern"
BY_ENDING = {".jsonl": "jsonl", ".parquet": "parquet"}  # what needs no word in a fingerprint, nor does text elsewhere


class TextFiles:
    """One split of the documents at `place`; `field` is the key of JSON and the column of tables, `format` what all
    files are, "" where each says it itself; `split_by` says what rows are divided by. `notes` are for a person."""

    def __init__(
        self,
        place: str | Path,
        split: str,
        test_fraction: float,
        field: str,
        pattern: str,
        format: str = "",
        split_by: RowRule = "content",
    ):
        """Raises ValueError when there is no file, no such split or format, or a fraction outside [0, 1]."""
        self.name = f"text:{place} ({split})"
        self.skipped: dict[str, str] = {}
        if split not in ("train", "test"):
            raise ValueError(f'text:{place} has no split {split!r}; its splits are "train" and "test"')
        if not 0 <= test_fraction <= 1:
            raise ValueError(f"text:{place}: test_fraction is {test_fraction}, expected a number from 0 to 1")
        if format and format not in FORMATS:
            raise ValueError(f"text:{place}: data.options.format={format!r} does not exist; {nearest(format, FORMATS)}")
        self._test, self._fraction, self._field = split == "test", test_fraction, field
        self._by_content = split_by == "content"
        self._root, self._files = _files(Path(place).expanduser(), pattern)
        if not self._files:
            raise ValueError(f"there is no text at {place}; expected a file, or a folder with files like {pattern}")
        self._kinds, faults = _kinds(self._files, field, format)
        self.notes = left_out(f"text:{place}", faults, len(self._files))
        if not self._kinds:
            listed = "\n".join(f"{self._root / name}{fault}" for name, fault in list(faults.items())[:SHOWN])
            raise ValueError(f"there is no text at {place}\n{listed}")
        self._one = [*self._kinds.values()] == [TEXT]
        contents = (part for name, kind in self._kinds.items() for part in self._print(name, kind))
        # the rule of 0.1.0, and files that no rule divides, have the fingerprints that they had
        rows = any(kind != TEXT for kind in self._kinds.values())
        how = "text by content" if rows and self._by_content else "text"
        self.fingerprint = digest(how, split, str(test_fraction), field, *contents)

    def __len__(self) -> int:
        return self._count

    def documents(self) -> Iterator[Document]:
        """Raises ValueError, after the last document, when some cannot be read, and when there is none."""
        faults, count = ParseErrors(self.name), 0
        for name, content in self._entries():
            try:
                text = self._part(content())
            except (ParseError, opened.Undecodable) as fault:
                faults.add(f"{self._root / name}{fault}")
                continue
            if text:
                count += 1
                yield Document(name, text)
        faults.check()
        if not count:
            raise ValueError(f"{self.name} holds no text; change test_fraction={self._fraction} or add documents")

    @functools.cached_property
    def _count(self) -> int:
        return sum(1 for _ in self._entries())

    def _entries(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """The names of the documents in the split, each with what reads it."""
        for file_name, kind in self._kinds.items():
            file = self._files[file_name]
            if kind == TEXT:
                if self._one or self._chosen(file_name):
                    yield file_name, functools.partial(opened.text, file)
                continue
            for number, row in ROWS[kind](file, self._field, alone=True):
                name, read = f"{file_name}:{number}", functools.partial(text_of, row, self._field, kind)
                if self._by_content:
                    once = functools.cache(read)
                    if self._has(once):
                        yield name, once
                elif self._chosen(name):
                    yield name, read

    def _has(self, read: Callable[[], str]) -> bool:
        """Whether a row is in the split by its text; one without a text is a fault of both splits."""
        try:
            return self._chosen(read())
        except ParseError:
            return True

    def _chosen(self, key: str) -> bool:
        return is_test(key, self._fraction) == self._test

    def _part(self, text: str) -> str:
        """A text that is alone, divided between the splits; any other as it is."""
        if not self._one:
            return text
        cut = round(len(text) * (1 - self._fraction))
        if 0 < cut < len(text):
            cut = text.find("\n", cut, len(text) - 1) + 1 or cut
        return text[cut:] if self._test else text[:cut]

    def _print(self, name: str, kind: str) -> list[str]:
        """The part of a file in the fingerprint; its kind belongs to it, as it decides what the documents are."""
        file = self._files[name]
        return [name, _sha(file), *([] if kind == BY_ENDING.get(file.suffix.lower(), TEXT) else [kind])]


def _kinds(files: dict[str, Path], field: str, format: str) -> tuple[dict[str, str], dict[str, str]]:
    """{name: kind} of those that are read, {name: why not} of the others."""
    kinds, faults = {}, {}
    for name, file in files.items():
        try:
            kind = format or kind_of(file, field)
            if lacking := _lacking(file, kind, field):
                faults[name] = lacking
            else:
                kinds[name] = kind
        except Unknown as fault:
            faults[name] = f"{fault}; {ADVICE}"
        except NotData as fault:
            faults[name] = str(fault)
    return kinds, faults


def _lacking(file: Path, kind: str, field: str) -> str:
    """What a table says that has no column `field`; nothing for others, whose faults are told with their rows."""
    if kind == TEXT:
        return ""
    with contextlib.suppress(ValueError), contextlib.closing(ROWS[kind](file, field, alone=True)) as rows:
        try:
            next(rows, None)
        except NoColumn as fault:
            return str(fault).removeprefix(str(file))
    return ""


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


def _sha(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
