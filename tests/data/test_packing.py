"""Rows out of a token store: compared with the plain definition, token by token."""

import numpy as np
import pytest

from gen.data.packing import framed, train_window, window
from gen.data.tokens import prepare
from gen.tokenizers import Bytes
from tests.data.test_tokens import Joined, Texts

TEXTS = ["abc", "", "defghijklmn", "o", "", "pq"]


def plain(store, first: int, length: int) -> dict[str, list]:
    """The arrays of a row by their definition: which document holds each token, going round the store."""
    owner = [d for d in range(len(store.bytes)) for _ in range(store.offsets[d + 1] - store.offsets[d])]
    at = [p % len(store) for p in range(first, first + length + 1)]
    segments, positions = [1], [0]
    for here in at[1:]:
        begins = here == store.offsets[owner[here]]
        segments.append(segments[-1] + begins)
        positions.append(0 if begins else positions[-1] + 1)
    return {
        "tokens": [store.tokens[p] for p in at[:-1]],
        "targets": [store.tokens[p] for p in at[1:]],
        "segments": segments[:-1],
        "positions": positions[:-1],
        "weights": [float(store.joined or a == b) for a, b in zip(segments, segments[1:], strict=False)],
    }


@pytest.mark.parametrize("tokenizer", [Bytes(), Joined()])
def test_rows_are_what_their_definition_says(tmp_path, tokenizer):
    store = prepare(Texts(*TEXTS), tokenizer, tmp_path)
    for length in (1, 2, 7, len(store)):
        for first in range(len(store)):
            arrays = framed(*window(store, first, length + 1), store.joined)
            expected = plain(store, first, length)
            assert {name: array.tolist() for name, array in arrays.items()} == expected
            kinds = {name: array.dtype for name, array in arrays.items()}
            assert kinds.pop("weights") == np.float32 and set(kinds.values()) == {np.dtype(np.int32)}


def test_a_window_may_go_round_more_than_once(tmp_path):
    store = prepare(Texts("a"), Bytes(), tmp_path)
    tokens, begins = window(store, 1, 8)
    assert tokens.tolist() == [97, 258, 257, 97, 258, 257, 97, 258]
    assert np.flatnonzero(begins).tolist() == [2, 5]


def firsts(store, length: int, seed: int, epoch: int) -> list[int]:
    """Where the rows of an epoch begin, found by the numbers that the tokens are."""
    rows = len(store) // length
    found = [int(train_window(store, epoch * rows + i, length, seed)[0][0]) for i in range(rows)]
    return [int(np.flatnonzero(store.tokens == token)[0]) for token in found]


def test_an_epoch_shows_each_token_once_and_each_epoch_cuts_elsewhere(tmp_path):
    store = prepare(Texts("".join(map(chr, range(100)))), Bytes(), tmp_path)  # 102 different tokens
    shifts = set()
    for epoch in range(6):
        starts = firsts(store, 10, 3, epoch)
        shifts.add(min(starts))
        assert sorted(starts) == [min(starts) + 10 * i for i in range(10)] != starts
    assert len(shifts) > 3
    assert firsts(store, 10, 3, 2) == firsts(store, 10, 3, 2) != firsts(store, 10, 4, 2)
