"""What a text data set is to the rest of gen: documents in a fixed order.

for document in open_corpus("stdlib", "train").documents():
    document.name, document.text                            # "argparse.py", "# Author: Steven ..."
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable


class Document(NamedTuple):
    """A text that stands for itself, as a file or an article."""

    name: str  # tells a person which one it is; unique within a corpus
    text: str


@runtime_checkable
class Corpus(Protocol):
    """The documents of one split of a text data set."""

    name: str  # what a person typed to get it, for messages
    fingerprint: str  # hex digest: equal digests hold equal documents in equal order
    skipped: dict[str, str]  # {document: fault} of the damaged ones that `documents` has left out so far
    notes: list[str]  # what a person should know of it, a sentence each

    def __len__(self) -> int:
        """The number of documents, damaged ones included."""
        ...

    def documents(self) -> Iterator[Document]:
        """The documents, in the same order each time."""
        ...
