"""Long texts in parts: bounded whatever they look like, and the tokens of the whole wherever a border shows."""

import random
import string

import pytest

from gen.tokenizers import long_text as module
from gen.tokenizers.long_text import stretches
from tests.tokenizers.kinds import kinds

DRAW = random.Random(0)
TEXTS = {
    "lines": "def f(x):\n    return x  # nothing\n\n" * 60,
    "lines that end in a space": "The quick brown fox jumps over the lazy dog . \n" * 50,
    "one line": "The quick brown fox jumps over the lazy dog. " * 50,
    "sentences": "A dog.\n" * 300,
    "no spaces": "".join(DRAW.choices("日本語中文漢字七", k=2000)),
    "base64": "".join(DRAW.choices(string.ascii_letters + string.digits + "+/", k=2000)),
    "accents": "e\u0301" * 1000,
    "one word": "x" * 2000,
    "anything": "".join(DRAW.choices("ab \n.\té七\U0001f600x", k=2000)),
}
KINDS = ("bytes", "text", "captions", "pieces", "usual pieces", "prepend", "always", "first")


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch):
    monkeypatch.setattr(module, "STRETCH", 100)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_parts_are_bounded_and_have_the_tokens_of_the_whole(kind, text, monkeypatch):
    tokenizer = kinds()[kind]
    cut = tokenizer.encode(text)
    parts = list(stretches(text, tokenizer.encode))
    assert len(parts) > 10 and max(len(part.text) for part in parts) <= 200
    assert "".join(part.own for part in parts) == text
    assert [part.first for part in parts] == [True, *[False] * (len(parts) - 1)]
    assert [part.last for part in parts] == [*[False] * (len(parts) - 1), True]
    monkeypatch.setattr(module, "STRETCH", 10**6)
    assert cut == tokenizer.encode(text) == [token for part in parts for token in part.of(tokenizer.encode(part.text))]
    assert tokenizer.encode_batch([text, "a"]) == [cut, tokenizer.encode("a")]


def test_a_word_without_borders_is_cut_anyhow():
    """A tokenizer that takes no two texts apart: none of its tokens before a cut stays the same behind it."""
    parts = list(stretches("x" * 1000, lambda text: [len(text)]))
    assert max(len(part.text) for part in parts) <= 200 and {part.skip for part in parts} == {0}
    assert "".join(part.own for part in parts) == "x" * 1000


def test_short_texts_are_left_whole():
    assert [part.text for part in stretches("x" * 200)] == ["x" * 200] and [p.text for p in stretches("")] == [""]
