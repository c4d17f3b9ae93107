"""Rows of T tokens out of the one long row of a token store.

Row i of an epoch is the window of tokens i T + shift to (i + 1) T + shift, its targets the tokens one further on; the
windows are shuffled (order.py) and the shift is drawn for each epoch, so that no two epochs cut the text at the same
places. The store is read round, so that each epoch has the same number of rows.

    arrays = framed(*train_window(store, place=1000, length=512, seed=0), store.joined)

    tokens     int32 (T,)     what the model reads
    targets    int32 (T,)     what it should say at each
    segments   int32 (T,)     1, 2, ...: which document of the row; 0 for padding
    positions  int32 (T,)     from 0 in each document
    weights    float32 (T,)   1 where the target belongs to the same document, otherwise 0

Where one token is both start and end, it counts as the end of the document before it.
"""

import functools

import numpy as np
from jaxtyping import Bool, Int32

from gen import rng
from gen.data.order import record_at
from gen.data.tokens import TokenStore

# W tokens, T + 1 for a row of T and its targets, and whether each begins a document
type Window = tuple[Int32[np.ndarray, "W"], Bool[np.ndarray, "W"]]


def train_window(store: TokenStore, place: int, length: int, seed: int) -> Window:
    """The tokens of the row at `place` >= 0 of an endless row of epochs, and the one after them."""
    rows = len(store) // length
    first = record_at(place, rows, seed) * length + _shift(seed, place // rows, length)
    return window(store, first % len(store), length + 1)


def window(store: TokenStore, first: int, count: int) -> Window:
    """`count` tokens from the token `first` on, round the end of the store."""
    pieces = [_piece(store, first, min(first + count, len(store)))]
    while (missing := count - sum(len(tokens) for tokens, _ in pieces)) > 0:
        pieces.append(_piece(store, 0, min(missing, len(store))))
    tokens, begins = zip(*pieces, strict=True)
    return np.concatenate(tokens), np.concatenate(begins)


def framed(tokens: Int32[np.ndarray, "*B W"], begins: Bool[np.ndarray, "*B W"], joined: bool) -> dict[str, np.ndarray]:
    """The arrays of rows of T tokens from T + 1 of them each."""
    segments = np.cumsum(begins, axis=-1, dtype=np.int32)
    segments += 1 - segments[..., :1]
    places = np.arange(tokens.shape[-1] - 1, dtype=np.int32)
    begun = np.maximum.accumulate(np.where(begins[..., :-1], places, 0), axis=-1)
    same = np.ones_like(begins[..., 1:]) if joined else segments[..., 1:] == segments[..., :-1]
    return {
        "tokens": tokens[..., :-1],
        "targets": tokens[..., 1:],
        "segments": segments[..., :-1],
        "positions": places - begun,
        "weights": same.astype(np.float32),
    }


def _piece(store: TokenStore, first: int, last: int) -> Window:
    begins = np.zeros(last - first, np.bool_)
    inner = slice(*np.searchsorted(store.offsets, (first, last)))
    begins[store.offsets[inner] - first] = True
    return store.tokens[first:last].astype(np.int32), begins


@functools.lru_cache(maxsize=64)
def _shift(seed: int, epoch: int, length: int) -> int:
    return int(rng.host(seed, "window", epoch).integers(length))
