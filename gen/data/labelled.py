"""Texts with labels, for a model to tell which a text belongs to, and one door to them.

    labelled:PATH       rows: {"text": ..., "label": ...}           options test_fraction, split_by
    stdlib              pieces of Python's standard library         options test_fraction, packages, pieces

`split_by` is "content", of text and label, or "position", of file and line, as in version 0.1.0.

Of the standard library (stdlib.py) these are pieces of whole lines, 200 to 400 bytes each, labelled by the package that
they are from: the `packages` with the most bytes among those of ten files or more. The test split is by file. Of each
package a split has at most `pieces`, as a few packages are larger than all others.

    texts = open_labelled("stdlib", "train")
    texts[0].text, texts[0].label                                       # "class Task(futures ...", "asyncio"
    labels_of(texts)                                                    # ("asyncio", "email", ...)
"""

import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from gen.data.corpus import Document
from gen.data.entries import InMemoryDataset, checked_text, divided, read_rows, split_key
from gen.data.faults import ParseError
from gen.data.kinds import SourceKind, open_kind
from gen.data.source import RowRule, digest, is_test
from gen.messages import short

SHORTEST, LONGEST = 200, 400  # bytes of a piece
FILES = 10  # the fewest of a package, as the splits divide files


class Labelled(NamedTuple):
    name: str  # "letters.jsonl:7", or "asyncio/tasks.py:120", the line that a piece begins with
    text: str
    label: str


def open_labelled(spec: str, split: str, **options) -> InMemoryDataset[Labelled]:
    """The texts that `spec` names, as in the table above, of the split "train" or "test".

    Raises ValueError when a kind, option or place is unknown or missing, for all faults of files at once, for fewer
    than two labels, and for a label of the test split that training does not have.
    """
    return open_kind(KINDS, "set of labelled texts", spec, (split,), options)


def labels_of(texts: InMemoryDataset[Labelled]) -> tuple[str, ...]:
    """The labels in order of their names; the classes are numbered so."""
    return tuple(sorted({text.label for text in texts}))


def _checked(train: Iterable[Labelled], test: Iterable[Labelled], where: str) -> None:
    known = {text.label for text in train}
    if len(known) < 2:
        listed = ", ".join(map(short, sorted(known))) or "none"
        raise ValueError(f"{where}: the training split has the labels {listed}; two or more are needed to tell apart")
    if strange := next((text for text in test if text.label not in known), None):
        raise ValueError(
            f"{where}: the label {short(strange.label)} ({strange.name}) is in the test split alone; "
            "add texts of it or change test_fraction"
        )


def _parsed(name: str, entry: Mapping[str, Any]) -> Labelled:
    if not {"text", "label"} <= entry.keys():
        raise ParseError(': not an object with "text" and "label"')
    return Labelled(name, checked_text(entry["text"], "the text"), checked_text(entry["label"], "the label"))


def _files(
    place: str, split: str, test_fraction: float = 0.1, split_by: RowRule = "content"
) -> InMemoryDataset[Labelled]:
    where, texts = f"labelled:{place}", read_rows(place, "label", _parsed, split_by)
    chosen = divided(texts, where, split, test_fraction, split_by)
    tests = {text.name for text in texts if is_test(split_key(text, split_by), test_fraction)}
    _checked((t for t in texts if t.name not in tests), (t for t in texts if t.name in tests), where)
    return chosen


def _stdlib(
    place: str, split: str, test_fraction: float = 0.25, packages: int = 8, pieces: int = 500
) -> InMemoryDataset[Labelled]:
    from gen.data.stdlib import Stdlib

    if split not in ("train", "test"):
        raise ValueError(f'stdlib has no split {split!r}; its splits are "train" and "test"')
    if packages < 2 or pieces < 1:
        raise ValueError(f"stdlib: packages={packages} and pieces={pieces}; use two packages or more, of one piece")
    documents = {name: list(Stdlib(name, test_fraction).documents()) for name in ("train", "test")}
    chosen = _largest([document for part in documents.values() for document in part], packages)
    texts = {name: _few((p for d in part for p in _pieces(d)), chosen, pieces) for name, part in documents.items()}
    _checked(texts["train"], texts["test"], "stdlib")
    return InMemoryDataset(f"stdlib ({split})", texts[split])


def _largest(documents: list[Document], packages: int) -> set[str]:
    """The packages with the most bytes among those of enough files."""
    sizes, files = Counter[str](), Counter[str]()
    for document in documents:
        sizes[_package(document)] += len(document.text.encode())
        files[_package(document)] += 1
    enough = [name for name in sizes if name and files[name] >= FILES]
    return set(sorted(enough, key=lambda name: (-sizes[name], name))[:packages])


def _package(document: Document) -> str:
    """The folder at the top, or nothing for a file there."""
    return document.name.rpartition("/")[0].partition("/")[0]


def _pieces(document: Document) -> Iterator[Labelled]:
    """A file cut where a piece is long enough; its end, and what a long line makes too long, stays out."""
    first, size, lines = 1, 0, list[str]()
    for number, line in enumerate(io.StringIO(document.text), 1):
        lines.append(line)
        size += len(line.encode())
        if size < SHORTEST:
            continue
        text = "".join(lines)
        if size <= LONGEST and text.strip():
            yield Labelled(f"{document.name}:{first}", text, _package(document))
        first, size, lines = number + 1, 0, []


def _few(texts: Iterable[Labelled], labels: set[str], most: int) -> tuple[Labelled, ...]:
    """At most so many texts of each label, chosen by a hash of their names, in order of names."""
    by_label = defaultdict[str, list[Labelled]](list)
    for text in texts:
        if text.label in labels:
            by_label[text.label].append(text)
    chosen = (text for group in by_label.values() for text in sorted(group, key=lambda t: digest(t.name))[:most])
    return tuple(sorted(chosen))


KINDS: dict[str, SourceKind[InMemoryDataset[Labelled]]] = {
    "labelled": SourceKind("labelled:PATH", _files),
    "stdlib": SourceKind("stdlib", _stdlib),
}
