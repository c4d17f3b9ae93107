"""The two orders in which rows by number become batches: shuffled without end, and each once.

The row of the batch at a position sits at place g = position * batch_size + row of the shuffled order (order.py). What
the row at a place holds, subclasses say: records of a source (loader.py), rows of a set (rowset.py).
"""

import abc

import numpy as np

from gen.data.order import record_at
from gen.data.rows import Batch, Rows, row_numbers, stack


class ShuffledLoader(abc.ABC):
    """Shuffled batches of `count` examples without end, for training."""

    def __init__(self, count: int, batch_size: int, seed: int):
        self.count, self.batch_size, self.seed = count, batch_size, seed

    def records(self, position: int, rows: Rows = None) -> list[int]:
        """The numbers of the examples in the batch at `position`."""
        places = position * self.batch_size + row_numbers(rows, self.batch_size)
        return [record_at(place, self.count, self.seed) for place in places.tolist()]

    def batch(self, position: int, rows: Rows = None) -> Batch:
        """The asked `rows` (all by default) of the global batch at `position`, each array with a leading row axis."""
        row_B = row_numbers(rows, self.batch_size)
        indices = self.records(position, rows)
        return stack([self._example(index, position, row) for index, row in zip(indices, row_B.tolist(), strict=True)])

    @abc.abstractmethod
    def _example(self, index: int, position: int, row: int) -> dict[str, np.ndarray]: ...


class EvalLoader(abc.ABC):
    """Each of `count` examples once, for evaluation; `len()` batches, the last one filled up to full size.

    The order is shuffled, the same for everyone, so that the first batches stand for the whole split. Batches have one
    more array, "weight", float32 (rows,): 1 for an example, 0 for filling.
    """

    def __init__(self, name: str, count: int, batch_size: int):
        self.name, self.count, self.batch_size = name, count, batch_size

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def batch(self, position: int, rows: Rows = None) -> Batch:
        """The asked `rows` of the batch at `position`, which is less than `len()`."""
        if not 0 <= position < len(self):
            raise ValueError(f"{self.name} has {len(self)} batches of {self.batch_size}, asked for {position}")
        places = position * self.batch_size + row_numbers(rows, self.batch_size)
        real_B = places < self.count
        places = np.minimum(places, self.count - 1)
        batch = stack([self._example(record_at(place, self.count, seed=0)) for place in places.tolist()])
        return batch | {"weight": real_B.astype(np.float32)}

    @abc.abstractmethod
    def _example(self, index: int) -> dict[str, np.ndarray]: ...
