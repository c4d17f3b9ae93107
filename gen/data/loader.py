"""A batch as a function of (data seed, position): no iterator, no state, nothing to save or lose.

The row of the batch at a position sits at place g = position * batch_size + row of the endless shuffled order
(`order`); its augmentation is drawn from (seed, position, row). Asking for some rows gives the same rows as asking for
all, so hosts read what their devices hold, and neither host count, mesh nor resuming changes an example.

    loader = Loader(open_source("digits", "train", size=16), batch_size=64, seed=0, transform=CaptionedImage(16))
    loader.batch(1000)["image"]                             # uint8 (64, 16, 16, 3)
    loader.batch(1000, rows=slice(32, 64))["image"]         # its second half
"""

import numpy as np

from gen.data.examples import Transform
from gen.data.order import record_at
from gen.data.reader import Reader
from gen.data.rows import Batch, Rows, row_numbers, stack
from gen.data.source import Source


class Loader:
    """Shuffled batches without end, for training.

    `replaced.count` and `replaced.first` say which damaged records this process replaced.
    """

    def __init__(self, source: Source, batch_size: int, seed: int, transform: Transform):
        self.source, self.batch_size, self.seed = source, batch_size, seed
        self._reader = Reader(source, transform)
        self.replaced = self._reader.replaced

    def records(self, position: int, rows: Rows = None) -> list[int]:
        """The numbers of the records in the batch at `position`, before any replacement."""
        places = position * self.batch_size + row_numbers(rows, self.batch_size)
        return [record_at(place, len(self.source), self.seed) for place in places.tolist()]

    def batch(self, position: int, rows: Rows = None) -> Batch:
        """The asked `rows` (all by default) of the global batch at `position`, each array with a leading row axis."""
        row_B = row_numbers(rows, self.batch_size)
        indices = self.records(position, rows)
        return stack(
            [
                self._reader.example(index, self.seed, position, int(row))
                for index, row in zip(indices, row_B, strict=True)
            ]
        )


class Once:
    """Each record of a split once, for evaluation; `len()` batches, the last one filled up to full size.

    The order is shuffled, the same for everyone, so that the first batches stand for the whole split. Batches have one
    more array, "weight", float32 (rows,): 1 for a record, 0 for filling. A caption, where several fit, is drawn once
    and for all per record.
    """

    def __init__(self, source: Source, batch_size: int, transform: Transform):
        self.source, self.batch_size = source, batch_size
        self._reader = Reader(source, transform)
        self.replaced = self._reader.replaced

    def __len__(self) -> int:
        return -(-len(self.source) // self.batch_size)

    def batch(self, position: int, rows: Rows = None) -> Batch:
        """The asked `rows` of the batch at `position`, which is less than `len()`."""
        if not 0 <= position < len(self):
            raise ValueError(f"{self.source.name} has {len(self)} batches of {self.batch_size}, asked for {position}")
        places = position * self.batch_size + row_numbers(rows, self.batch_size)
        real_B = places < len(self.source)
        places = np.minimum(places, len(self.source) - 1)
        indices = [record_at(place, len(self.source), seed=0) for place in places.tolist()]
        batch = stack([self._reader.example(index, 0, index) for index in indices])
        return batch | {"weight": real_B.astype(np.float32)}
