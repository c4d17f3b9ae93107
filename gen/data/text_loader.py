"""Batches of text as functions of (data seed, position), in the way of loader.py; rows are those of packing.py.

Training runs through the shuffled epochs of one store, or of several in fixed proportions. Evaluation reads each split
once, in windows in order of the text, and predicts each token once.

    TextLoader([store], (1024,), tokenizer, batch_size=16, length=512, seed=0, fim=0.0).batch(1000)
    once = TextOnce([store], tokenizer, batch_size=16, length=512, overlap=0.5)
    batches = [once.batch(position) for position in range(len(once))]
"""

from collections.abc import Sequence

import numpy as np

from gen import rng
from gen.data.fim import rearrange
from gen.data.mixture import part_at
from gen.data.order import record_at
from gen.data.packing import Window, framed, train_window, window
from gen.data.rows import Batch, Rows, row_numbers, stack
from gen.data.tokens import TokenStore
from gen.tokenizers import Tokenizer


class TextLoader:
    """Shuffled batches without end; `shares` are the places of a block that each store has (mixture.py)."""

    def __init__(
        self,
        stores: Sequence[TokenStore],
        shares: tuple[int, ...],
        tokenizer: Tokenizer,
        batch_size: int,
        length: int,
        seed: int,
        fim: float,
    ):
        self.batch_size, self.length = batch_size, length
        self._stores, self._shares, self._tokenizer = stores, shares, tokenizer
        self._seed, self._fim = seed, fim

    def batch(self, position: int, rows: Rows = None) -> Batch:
        """The asked `rows` (all by default) of the global batch at `position`, each array with a leading row axis."""
        windows = [self._window(position, int(row)) for row in row_numbers(rows, self.batch_size)]
        tokens_BW, begins_BW = map(np.stack, zip(*windows, strict=True))
        return framed(tokens_BW, begins_BW, self._stores[0].joined)

    def _window(self, position: int, row: int) -> Window:
        part, place = part_at(position * self.batch_size + row, self._shares, self._seed)
        tokens, begins = train_window(self._stores[part], place, self.length, self._seed)
        if not self._fim:
            return tokens, begins
        generator = rng.host(self._seed, "fim", position, row)
        return rearrange(tokens, begins, self._tokenizer, self._fim, generator)


class TextOnce:
    """Each token of the stores predicted once; `len()` batches, the last one filled up to full size.

    Rows are as long as those of training and begin `length` tokens after the one before, less `overlap` of a row: what
    is seen again is context and weighs nothing. The order is shuffled, the same for everyone. Batches have two more
    arrays:

        weight   float32 (rows,)    1 for a row, 0 for filling, in which no token weighs anything either
        bytes    float32 (rows,)    the UTF-8 bytes that the row's counted targets stand for: of each document its
                                    bytes times the share of its targets that count here

    so that bits per byte = sum of nats / ln 2 / sum of bytes, whatever the tokenizer.
    """

    def __init__(
        self, stores: Sequence[TokenStore], tokenizer: Tokenizer, batch_size: int, length: int, overlap: float
    ):
        self.batch_size, self.length = batch_size, length
        self._stores, self._tokenizer = stores, tokenizer
        self._stride = max(1, length - round(overlap * length))
        # the last document ends with the store, or, where its end is the next start, one token later
        targets = [len(store) - 1 + store.joined for store in stores]
        self._rows = np.cumsum([1 + max(0, -(-(n - length) // self._stride)) for n in targets])

    def __len__(self) -> int:
        return -(-int(self._rows[-1]) // self.batch_size)

    def batch(self, position: int, rows: Rows = None) -> Batch:
        """The asked `rows` of the batch at `position`, which is less than `len()`."""
        if not 0 <= position < len(self):
            raise ValueError(f"the text has {len(self)} batches of {self.batch_size}, asked for {position}")
        return stack([self._row(position * self.batch_size + int(row)) for row in row_numbers(rows, self.batch_size)])

    def _row(self, place: int) -> dict[str, np.ndarray]:
        count = int(self._rows[-1])
        index = record_at(min(place, count - 1), count, seed=0)
        part = int(np.searchsorted(self._rows, index, side="right"))
        arrays = self._window(self._stores[part], index - (int(self._rows[part - 1]) if part else 0))
        weight = np.float32(place < count)
        return arrays | {
            "weights": arrays["weights"] * weight,
            "bytes": np.asarray(arrays["bytes"] * weight, np.float32),
            "weight": np.asarray(weight),
        }

    def _window(self, store: TokenStore, index: int) -> dict[str, np.ndarray]:
        first = index * self._stride
        size = min(self.length, len(store) - 1 + store.joined - first)
        arrays = framed(*window(store, first, size + 1), store.joined)
        if index:
            arrays["weights"][: self.length - self._stride] = 0
        bytes_ = _bytes(store, first, arrays["segments"], arrays["weights"])
        missing = (0, self.length - size)
        padded = {name: np.pad(array, missing) for name, array in arrays.items()}
        for name in ("tokens", "targets"):
            padded[name][size:] = self._tokenizer.pad
        return padded | {"bytes": np.asarray(bytes_)}


def _bytes(store: TokenStore, first: int, segments: np.ndarray, weights: np.ndarray) -> float:
    """The bytes for which the counted targets of a row stand."""
    documents = np.searchsorted(store.offsets, first, side="right") - 2 + segments
    targets = store.offsets[documents + 1] - store.offsets[documents] - (not store.joined)
    return float((weights * store.bytes[documents] / targets).sum())
