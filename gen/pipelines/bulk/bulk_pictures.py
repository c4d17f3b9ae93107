"""Pictures of a long list: batches are filled with whatever is due, since a picture is the same in any company.

Pictures(stack, num=1, batch=16, from_text_embedding=False, made_with=...).make(items, ledger, step)
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gen import config, files
from gen.pipelines import draw
from gen.pipelines.bulk.index import SampleIndex, identify
from gen.pipelines.bulk.requests import SampleRequest
from gen.pipelines.draw import PictureRequest
from gen.pipelines.pictures import PictureStack
from gen.sample import png


class Due(NamedTuple):
    """One picture that is to be made."""

    name: str
    item: SampleRequest
    number: int


class BulkPictures:
    """`num` of each item, `batch` at a time, by the samplers of the command line under those of the item."""

    def __init__(
        self, stack: PictureStack, num: int, batch: int, from_text_embedding: bool, made_with: Mapping[str, Any]
    ):
        self._stack, self._num, self._batch, self._from_text = stack, num, batch, from_text_embedding
        self._made_with = {"weights": stack.digests(), **made_with}

    def check(self, items: Sequence[SampleRequest]) -> list[str]:
        """What a person should know of the prompts. Raises ValueError for one that cannot be read, or a setting that
        no sampler has."""
        for settings in {tuple(item.settings.items()) for item in items}:
            self._stack.with_samplers(settings)
        return self._stack.read(list(dict.fromkeys(item.prompt for item in items)))[1]

    def names(self, item: SampleRequest) -> list[str]:
        """The ids of an item's pictures."""
        record = self._record(item)
        return [identify(record, index) for index in range(self._num)]

    def make(self, items: Sequence[SampleRequest], ledger: SampleIndex, step: Callable[[int], None]) -> None:
        """Makes what is not in the ledger yet; `step` is told of so many more."""
        missing = sum(name not in ledger for item in items for name in self.names(item))
        self._batch = min(self._batch, max(missing, 1))
        for settings, group in itertools.groupby(items, lambda item: item.settings):
            stack = self._stack.with_samplers(list(settings.items()))  # compiled for all seeds
            for seed, own in itertools.groupby(group, lambda item: item.seed):
                for due in self._batches(own, ledger):
                    for row, picture in enumerate(self._draw(stack, due, seed)):
                        ledger.add(self._write(due[row], picture, row, ledger.path.parent))
                    step(len(due))

    def _batches(self, items: Iterator[SampleRequest], ledger: SampleIndex) -> Iterator[list[Due]]:
        due = (
            Due(name, item, number)
            for item in items
            for number, name in enumerate(self.names(item))
            if name not in ledger
        )
        while batch := list(itertools.islice(due, self._batch)):
            yield batch

    def _draw(self, stack: PictureStack, due: Sequence[Due], seed: int) -> np.ndarray:
        """The last batch is filled up, so that nothing compiles again."""
        full = [due[i % len(due)] for i in range(self._batch)]
        tokens_BT = stack.read([one.item.prompt for one in full])[0]
        index_B = np.array([one.number for one in full])
        drawn = stack.draw_rows(tokens_BT, index_B, seed, from_text_embedding=self._from_text)
        return drawn.pictures[-1][: len(due)]

    def _write(self, due: Due, picture: np.ndarray, row: int, out: Path) -> dict[str, Any]:
        record = {"kind": "picture", "index": due.number, **self._record(due.item), "row": row}
        file = f"{draw.name(due.item.prompt)[:60]}-{due.name}.png"
        with files.replacing(out / file) as partial:
            png.write(partial, picture, record)
        return {"id": due.name, "file": file, **record}

    def _record(self, item: SampleRequest) -> dict[str, Any]:
        samplers = self._stack.with_samplers(list(item.settings.items())).samplers
        request = PictureRequest(item.prompt, item.seed, self._num, self._batch, self._from_text, samplers)
        return {**config.to_dict(request), **self._made_with}
