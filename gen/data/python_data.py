"""Data sets that Python gives: any sequence, under a name that a config writes as "python:NAME".

    register("birds", train=Birds("train"), test=Birds("test"))
    open_source("python:birds", "train", size=64)

A sequence has len() and [index]. Of pictures each item is a record as in gen.data.source, with "image" and "caption";
of a task of your own it is an example, a dict of arrays whose shapes are the same for all. Names hold for the process:
a module that registers its data is what programs take as --plugin.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gen.data.source import CorruptRecord, Record, digest, sampled

_splits: dict[str, Mapping[str, Sequence[Any]]] = {}


def register(name: str, **splits: Sequence[Any]) -> None:
    """Registers the splits of a data set, `train` and `test`. The same name again replaces them."""
    _splits[name] = splits


def find(name: str, split: str) -> Sequence[Any]:
    """Raises ValueError when this process knows no such data, or it has no such split."""
    if name not in _splits:
        raise ValueError(
            f"python:{name} is data that Python gives, and no module of this process has registered it: "
            "pass data= to gen.train, or --plugin=MODULE to a program"
        )
    if split not in _splits[name]:
        raise ValueError(f"python:{name} has no split {split!r}; it has {', '.join(_splits[name])}")
    return _splits[name][split]


class PythonSource:
    """A sequence of records as a gen.data.source.Source."""

    def __init__(self, name: str, items: Sequence[Mapping[str, Any]]):
        self.name, self.items = name, items
        self.fingerprint = digest(len(items), sampled(self))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Record:
        """Raises CorruptRecord for an item that is no record."""
        item = self.items[index]
        if not isinstance(item, Mapping) or "image" not in item:
            raise CorruptRecord(f"item {index} of {self.name} is not a dict with an image")
        caption = item.get("caption", ())
        return {**item, "caption": (caption,) if isinstance(caption, str) else tuple(caption), "name": f"item {index}"}

    def captions(self) -> Iterator[str]:
        """Every caption, without a look at an image where the sequence reads them one by one."""
        for index in range(len(self)):
            yield from self[index]["caption"]


class PythonExamples:
    """A sequence of examples as a gen.data.rowset.Dataset."""

    def __init__(self, name: str, items: Sequence[Mapping[str, Any]]):
        self.name, self.items = name, items
        self.fingerprint = digest(len(items), sampled(self))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        return self.row(index)

    def row(self, index: int) -> dict[str, np.ndarray]:
        """Raises ValueError for an item that is no dict of arrays."""
        item = self.items[index]
        if not isinstance(item, Mapping):
            raise ValueError(f"item {index} of {self.name} is {type(item).__name__}; give dicts of arrays")
        return {key: np.asarray(value) for key, value in item.items()}
