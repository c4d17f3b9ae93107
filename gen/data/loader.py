"""A batch as a function of (data seed, position): no iterator, no state, nothing to save or lose.

The row of the batch at a position sits at place g = position * batch_size + row of the endless shuffled order
(`order`); its augmentation is drawn from (seed, position, row). Asking for some rows gives the same rows as asking for
all, so hosts read what their devices hold, and neither host count, mesh nor resuming changes an example.

    loader = Loader(open_source("digits", "train", size=16), batch_size=64, seed=0, transform=CaptionedImage(16))
    loader.batch(1000)["image"]                             # uint8 (64, 16, 16, 3)
    loader.batch(1000, rows=slice(32, 64))["image"]         # its second half
"""

from gen.data.batches import EvalLoader, ShuffledLoader
from gen.data.examples import Example, Transform
from gen.data.record_reader import RecordReader
from gen.data.source import Source


class Loader(ShuffledLoader):
    """Shuffled batches without end, for training.

    `records` are those before any replacement; `damage` says which of them this process found damaged.
    """

    def __init__(self, source: Source, batch_size: int, seed: int, transform: Transform):
        super().__init__(len(source), batch_size, seed)
        self.source = source
        self._reader = RecordReader(source, transform)
        self.damage = self._reader.damage

    def _example(self, index: int, position: int, row: int) -> Example:
        return self._reader.example(index, self.seed, position, row, position=position)


class Once(EvalLoader):
    """Each record of a split once, for evaluation.

    A caption, where several fit, is drawn once and for all per record.
    """

    def __init__(self, source: Source, batch_size: int, transform: Transform):
        super().__init__(source.name, len(source), batch_size)
        self.source = source
        self._reader = RecordReader(source, transform)
        self.damage = self._reader.damage

    def _example(self, index: int) -> Example:
        return self._reader.example(index, 0, index, position=0)
