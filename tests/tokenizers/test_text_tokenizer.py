"""Byte-level BPE for text and code: nothing is lost, nothing unknown, the size exact, and indentation one token."""

import inspect
import random

import pytest

from gen.tokenizers import Tokenizer, bpe, text, train_text

CODE = [inspect.getsource(module) for module in (text, bpe)]


@pytest.fixture(scope="module")
def tokenizer():
    return train_text(CODE, vocab_size=600, marks=("<user>",))


def test_it_meets_the_protocol_with_exactly_the_size_asked_for(tokenizer):
    assert isinstance(tokenizer, Tokenizer) and tokenizer.vocab_size == 600
    marks = [tokenizer.pad, tokenizer.start, tokenizer.end, *tokenizer.fim, tokenizer.mark("<user>")]
    assert len(set(marks)) == 7
    assert tokenizer.decode([*marks[:-1], *tokenizer.encode(" x\n")]) == " x\n"


STRINGS = [
    *("", " ", "\n", " a  b\t\tc \r\n\r\n  d\n", "def f(x):\n    return x\n", "\u3000\u2028x\x0b"),
    *("naïve 七 \U0001f600\U0001f469\u200d\U0001f680", "\0\x01\ufeff\ufffd", "e\u0301 \u00e9 ﬁ ", "İI'LL"),
    "<start><fim_middle><|endoftext|><user>",
]


@pytest.mark.parametrize("string", STRINGS)
def test_every_string_comes_back_exactly(tokenizer, string):
    assert tokenizer.decode(tokenizer.encode(string)) == string
    marks = {tokenizer.start, tokenizer.end, tokenizer.pad, *tokenizer.fim, tokenizer.mark("<user>")}
    assert not marks & set(tokenizer.encode(string)) and tokenizer.unknown(string) == ()


def test_random_strings_come_back_exactly_one_by_one_and_together(tokenizer):
    draw = random.Random(0)
    alphabet = " \n\t\r\0aZ_é七\U0001f600'1.#:(" + "".join(map(chr, draw.sample(range(1, 0xD800), 50)))
    strings = ["".join(draw.choices(alphabet, k=draw.randrange(40))) for _ in range(200)]
    ids = [tokenizer.encode(string) for string in strings]
    assert [tokenizer.decode(tokens) for tokens in ids] == strings
    assert tokenizer.encode_batch(strings) == ids


def test_training_twice_gives_the_same(tokenizer):
    assert train_text(iter(CODE), 600, marks=("<user>",)).fingerprint == tokenizer.fingerprint
    assert train_text(CODE[:1], 600, marks=("<user>",)).fingerprint != tokenizer.fingerprint


def test_a_colon_and_the_indentation_after_it_are_one_token(tokenizer):
    assert len(tokenizer.encode(":\n        ")) == 1
    assert len(tokenizer.encode("\n\n    ")) <= 2


def test_sizes_that_cannot_be(tokenizer):
    with pytest.raises(ValueError, match="the bytes and marks need 262 tokens before any merge, vocab_size is 261"):
        train_text(CODE, 261)
    assert train_text(["abab"], 263).encode("ab") == [262]
    with pytest.raises(ValueError, match="no more than 264 tokens in it, vocab_size is 300; lower it or add text"):
        train_text(["abab"], 300)
    with pytest.raises(ValueError, match="no token '<nobody>'"):
        tokenizer.mark("<nobody>")
