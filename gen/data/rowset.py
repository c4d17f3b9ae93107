"""Sets of rows by number, each row a dict of arrays of fixed shape, and their batches by position.

DatasetLoader(rows, batch_size=16, seed=0).batch(1000)              shuffled, without end
once = DatasetEvalLoader(rows, batch_size=16)                             each once, with "weight"
Zip(DatasetLoader(one, 16, 0), DatasetLoader(other, 16, 1))          the arrays of both, each in an order of its own
"""

from typing import Protocol, runtime_checkable

import numpy as np

from gen.data.batches import EvalLoader, ShuffledLoader
from gen.data.rows import Batch, Rows, row_numbers

type Row = dict[str, np.ndarray]


@runtime_checkable
class Dataset(Protocol):
    """The rows of one split."""

    name: str  # what a person typed to get it, for messages

    def __len__(self) -> int: ...

    def row(self, index: int) -> Row: ...


@runtime_checkable
class BatchAt(Protocol):
    """What every loader can do."""

    def batch(self, position: int, rows: Rows = None) -> Batch: ...


class DatasetLoader(ShuffledLoader):
    """Shuffled batches without end, for training."""

    def __init__(self, rows: Dataset, batch_size: int, seed: int):
        super().__init__(len(rows), batch_size, seed)
        self._rows = rows

    def _example(self, index: int, position: int, row: int) -> Row:
        return self._rows.row(index)


class DatasetEvalLoader(EvalLoader):
    """Each row once, for evaluation; in filling also the "weights" of tokens, where there are such, are 0."""

    def __init__(self, rows: Dataset, batch_size: int):
        super().__init__(rows.name, len(rows), batch_size)
        self._rows = rows

    def batch(self, position: int, rows: Rows = None) -> Batch:
        batch = super().batch(position, rows)
        if "weights" in batch:
            batch["weights"] = batch["weights"] * batch["weight"][:, None]
        return batch

    def _example(self, index: int) -> Row:
        return self._rows.row(index)


class Zip:
    """The arrays of several loaders, whose names differ, as one batch."""

    def __init__(self, *loaders: BatchAt):
        self._loaders = loaders

    def batch(self, position: int, rows: Rows = None) -> Batch:
        parts = [loader.batch(position, rows) for loader in self._loaders]
        return {name: array for part in parts for name, array in part.items()}


class EvalZip(Zip):
    """The same for an evaluation: as many batches as the first has."""

    def __init__(self, once: EvalLoader, *loaders: BatchAt):
        super().__init__(once, *loaders)
        self._count = len(once)

    def __len__(self) -> int:
        return self._count


class Batched:
    """A loader of rows whose batch is R times as large, as R rows for each one: arrays (B, R, ...), named PREFIX/...

    Row b has the rows b R to b R + R - 1 of the other's batch at the same position, and only they are read.
    """

    def __init__(self, loader: BatchAt, batch_size: int, each: int, prefix: str):
        self._loader, self._batch_size, self._each, self._prefix = loader, batch_size, each, prefix

    def batch(self, position: int, rows: Rows = None) -> Batch:
        row_B = row_numbers(rows, self._batch_size)
        inner_BR = row_B[:, None] * self._each + np.arange(self._each)
        batch = self._loader.batch(position, inner_BR.ravel())
        return {
            f"{self._prefix}/{name}": array.reshape(len(row_B), self._each, *array.shape[1:])
            for name, array in batch.items()
        }
