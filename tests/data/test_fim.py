"""Fill in the middle: put together again, every rearranged document is the document; the rest stays as it was."""

import numpy as np
import pytest

from gen.data.fim import rearrange
from gen.data.packing import window
from gen.data.tokens import prepare
from gen.tokenizers import Bytes
from tests.data.test_tokens import Texts

PREFIX, SUFFIX, MIDDLE = 259, 260, 261


class Marked(Bytes):
    vocab_size, fingerprint = 262, "marked"
    fim = (PREFIX, SUFFIX, MIDDLE)


class MarkedJoined(Marked):
    start = end = pad = 256
    fingerprint = "marked and joined"


def pieces(tokens, begins) -> list[list[int]]:
    return [piece.tolist() for piece in np.split(tokens, np.flatnonzero(begins[1:]) + 1)]


def together(piece: list[int]) -> list[int]:
    """The inverse for one document: prefix, middle, suffix, between its start and its end."""
    if PREFIX not in piece:
        return piece
    before, behind, between = (piece.index(mark) for mark in (PREFIX, SUFFIX, MIDDLE))
    assert before < behind < between
    middle = piece[between + 1 :]
    tail = [258] if middle[-1:] == [258] else []
    prefix, suffix = piece[before + 1 : behind], piece[behind + 1 : between]
    return [*piece[:before], *prefix, *middle[: len(middle) - len(tail)], *suffix, *tail]


@pytest.fixture
def store(tmp_path):
    return prepare(Texts("abcdefgh", "", "ijk", "l", "mnopqrstuvwxyz"), Marked(), tmp_path)


@pytest.mark.parametrize("first", range(12))
def test_put_together_it_is_the_beginning_of_the_row(store, first):
    whole = window(store, first, 30)
    for seed in range(20):
        tokens, begins = rearrange(*whole, Marked(), 1.0, np.random.default_rng(seed))
        assert tokens.shape == (30,) and tokens.dtype == np.int32
        found, expected = pieces(tokens, begins), pieces(*whole)
        *inner, last = found
        assert [together(piece) for piece in inner] == expected[: len(inner)]
        again = together(last)
        assert again == expected[len(inner)][: len(again)]
        assert all(PREFIX in piece for piece in inner if len(set(piece) - {257, 258}))
        np.testing.assert_array_equal(begins[0], whole[1][0])


def test_one_mark_between_documents_stays_outside(tmp_path):
    store = prepare(Texts("abcdef", "ghijkl"), MarkedJoined(), tmp_path)
    tokens, begins = rearrange(*window(store, 0, 20), MarkedJoined(), 1.0, np.random.default_rng(0))
    first, second = pieces(tokens, begins)[:2]
    assert bytes(together(first)[1:]) == b"abcdef" and first[:2] == second[:2] == [256, PREFIX]


def test_both_cuts_are_uniform_over_all_places(tmp_path):
    store = prepare(Texts("abcd"), Marked(), tmp_path)
    generator, counts = np.random.default_rng(0), {}
    for _ in range(1500):
        tokens, _ = rearrange(*window(store, 0, 9), Marked(), 1.0, generator)
        row = tokens.tolist()
        cut = (row.index(SUFFIX) - row.index(PREFIX), row.index(MIDDLE) - row.index(SUFFIX))
        counts[cut] = counts.get(cut, 0) + 1
    assert len(counts) == 15  # 0 <= low <= high <= 4
    equal = [count for (prefix, suffix), count in counts.items() if prefix - 1 + suffix - 1 == 4]
    assert all(30 < count < 95 for count in equal)  # 1500 / 25; those of two different places come twice as often


@pytest.mark.parametrize("probability", [0.0, 0.3])
def test_each_document_is_drawn_for_itself(store, probability):
    generator, done, seen = np.random.default_rng(0), 0, 0
    for _ in range(400):
        tokens, begins = rearrange(*window(store, 0, 16), Marked(), probability, generator)
        first = pieces(tokens, begins)[0]
        done, seen = done + (PREFIX in first), seen + 1
        if PREFIX not in tokens:
            np.testing.assert_array_equal(tokens, window(store, 0, 16)[0])
    assert abs(done / seen - probability) < 0.06


def test_no_room_leaves_it_as_it_is(store):
    for count in (2, 3, 4):
        whole = window(store, 1, count)
        tokens, _ = rearrange(*whole, Marked(), 1.0, np.random.default_rng(0))
        assert len(tokens) == count and (PREFIX in tokens) == (count == 4)


def test_a_tokenizer_without_marks(store):
    with pytest.raises(ValueError, match="data.fim needs a tokenizer with marks"):
        rearrange(*window(store, 0, 8), Bytes(), 1.0, np.random.default_rng(0))
