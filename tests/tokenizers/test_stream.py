"""Text that grows token by token is the text of all tokens, and what was told is never taken back."""

import random

import pytest

from gen.tokenizers import Bytes, Stream, train, train_text
from gen.tokenizers.pieces import Pieces
from tests.tokenizers.test_pieces import EXACT, model

TEXT = " a 七 seven\U0001f600\n\n  in\tred é \ufffd "


@pytest.fixture(scope="module")
def tokenizers():
    return [
        Bytes(),
        train_text(["a seven in red ink\n  in blue"] * 9, 266),
        train(["a seven in red ink"], 40),
        Pieces(model(**EXACT), "exact"),
        Pieces(model(), "usual"),
    ]


@pytest.mark.parametrize("which", range(5))
def test_the_parts_joined_are_the_whole(tokenizers, which):
    tokenizer, draw = tokenizers[which], random.Random(which)
    rows = [[draw.randrange(tokenizer.vocab_size) for _ in range(draw.randrange(40))] for _ in range(100)]
    for tokens in [tokenizer.encode(TEXT), *rows]:
        stream = Stream(tokenizer)
        told = [stream.push(token) for token in tokens]
        assert "".join(told) + stream.finish() == tokenizer.decode(tokens)


def test_half_a_character_waits_and_every_other_is_told_at_once():
    stream = Stream(Bytes())
    assert [stream.push(byte) for byte in "aé\U0001f600b".encode()] == ["a", "", "é", "", "", "", "\U0001f600", "b"]
    assert stream.finish() == ""


def test_a_broken_character_is_told_when_it_cannot_be_mended():
    stream = Stream(Bytes())
    assert [stream.push(byte) for byte in b"\xe4\xb8a"] == ["", "", "\ufffda"]
    assert stream.push(0xE4) == "" and stream.finish() == "\ufffd"


def test_the_space_before_a_word_is_told_only_within_a_text(tokenizers):
    pieces = tokenizers[3]
    stream = Stream(pieces)
    told = [stream.push(token) for token in pieces.encode("seven seven")]
    assert told[0][0] == "s" and told[len(told) // 2] == f" {told[0]}"


def test_marks_say_nothing(tokenizers):
    for tokenizer in tokenizers:
        stream = Stream(tokenizer)
        assert stream.push(tokenizer.start) == "" and stream.push(tokenizer.end) == "" == stream.finish()
