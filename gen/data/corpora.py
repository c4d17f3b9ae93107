"""One door to every text data set: what a config writes as a string becomes a corpus.

    stdlib              the Python standard library's source        splits train, test
    text:PATH           text files, JSON, tables, Parquet           splits train, test
    tfds:DIR            a data set that TFDS has prepared           the splits of the data set, as "train[:90%]"
    instructions        short tasks and their answers, made         splits train, test

Paths are those of this machine; nothing is fetched.

    corpus = open_corpus("text:/data/letters.jsonl", "train", field="body")
"""

from gen.data.corpus import Corpus
from gen.data.kinds import SourceKind, open_kind
from gen.data.source import RowRule

# Each opener imports what it needs: nobody waits for TFDS to read a folder.


def _stdlib(place: str, split: str, test_fraction: float = 0.1) -> Corpus:
    from gen.data.stdlib import Stdlib

    return Stdlib(split, test_fraction)


def _text(
    place: str,
    split: str,
    test_fraction: float = 0.1,
    field: str = "text",
    pattern: str = "**/*",
    format: str = "",
    split_by: RowRule = "content",
) -> Corpus:
    from gen.data.textfiles import TextFiles

    return TextFiles(place, split, test_fraction, field, pattern, format, split_by)


def _tfds(place: str, split: str, text: str = "text") -> Corpus:
    from gen.data.tfds_text import TfdsText

    return TfdsText(place, split, text)


def _instructions(
    place: str,
    split: str,
    documents: int = 20000,
    seed: int = 0,
    mistakes: float = 0.0,
    marked: float = 0.0,
    struck: float = 0.0,
) -> Corpus:
    from gen.data.instructions import Solved

    return Solved(split, documents, seed, mistakes, marked, struck)


KINDS: dict[str, SourceKind[Corpus]] = {
    "stdlib": SourceKind("stdlib", _stdlib),
    "text": SourceKind("text:PATH", _text),
    "tfds": SourceKind("tfds:DIR", _tfds),
    "instructions": SourceKind("instructions", _instructions),
}


def open_corpus(spec: str, split: str, **options) -> Corpus:
    """The corpus that `spec` names, as in the table above.

    `options` are those of the kind: test_fraction (stdlib, text); field, the key or column with the text, pattern, the
    files of a folder, format, what they all are, and split_by, what puts a row into a split: its "content", or its
    "position", as in version 0.1.0 (text); text, the name of the feature (tfds);
    documents, how many, seed, mistakes, the share of lines with a wrong answer, and marked and struck, the shares of
    documents that a teacher marked and whose slips are struck out (instructions).
    Raises ValueError when a kind, option or place is unknown or missing.
    """
    return open_kind(KINDS, "text data set", spec, (split,), options)
