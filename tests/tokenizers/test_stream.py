"""Text that grows token by token, of every kind of tokenizer: nothing is taken back, nothing is lost at a prompt."""

import copy
import os.path
import random

import pytest
from tokenizers import decoders

from gen.tokenizers import Bytes, Stream
from tests.tokenizers.kinds import BYTES, DECODERS, bpe, content, kinds, made

TEXT = " a 七 seven\U0001f600\n\n  in\tred é \ufffd "


def rows(tokenizer, seed: str, count: int = 60):
    """Random tokens, often the same few, with ids that no token has."""
    draw = random.Random(seed)
    for i in range(count):
        ids = range(tokenizer.vocab_size + 3)
        some = ids if i % 2 else draw.choices(ids, k=5)
        yield [draw.choice(some) for _ in range(draw.randrange(20))]


def pushed(stream, tokens):
    return [stream.push(token) for token in tokens]


@pytest.mark.parametrize("kind", kinds())
def test_the_parts_joined_are_the_whole_and_what_was_shown_stays(kind):
    tokenizer = kinds()[kind]
    for tokens in [tokenizer.encode(TEXT), *rows(tokenizer, kind)]:
        whole, stream = tokenizer.decode(tokens), Stream(tokenizer, ())
        parts = pushed(stream, tokens)
        assert "".join(parts) + stream.finish() == whole
        for i in range(len(tokens)):  # no way to go on changes what was shown
            assert tokenizer.decode(tokens[:i] + tokens[::-1]).startswith("".join(parts[:i]))


@pytest.mark.parametrize("kind", kinds())
def test_behind_a_prompt_the_text_is_the_whole_without_that_of_the_prompt(kind):
    tokenizer, draw = kinds()[kind], random.Random(kind)
    for tokens in rows(tokenizer, f"prompt {kind}"):
        border = draw.randrange(len(tokens) + 1)
        stream = Stream(tokenizer, tokens[:border])
        text = "".join(pushed(copy.copy(stream), tokens[border:])) + copy.copy(stream).finish()
        text = "".join(pushed(stream, tokens[border:])) + stream.finish()
        whole, prompt = tokenizer.decode(tokens), tokenizer.decode(tokens[:border])
        assert text == whole[len(os.path.commonprefix([whole, prompt])) :]


@pytest.mark.parametrize("kind", ["prepend", "always", "first", "pieces", "usual pieces", "text", "bytes"])
def test_the_first_word_behind_a_prompt_keeps_its_space(kind):
    tokenizer = kinds()[kind]
    for prompt, more in [("a", " b"), ("a", "b a"), ("é a", " é"), ("a 日", "本 a")]:
        tokens = tokenizer.encode(prompt + more)
        size = len(tokenizer.encode(prompt))
        if tokens[:size] == tokenizer.encode(prompt):  # the border is one between tokens
            stream = Stream(tokenizer, tokens[:size])
            assert "".join(pushed(stream, tokens[size:])) + stream.finish() == more
            stream = Stream(tokenizer)
            assert "".join(pushed(stream, tokens[size:])) + stream.finish() == more


@pytest.mark.parametrize("kind", ["prepend", "always"])
def test_indentation_and_the_last_line_break_stay(kind):
    tokenizer = kinds()[kind]
    prompt, whole = (tokenizer.encode(text) for text in ("a\n", "a\n  b\n"))
    stream = Stream(tokenizer, prompt)
    assert "".join(pushed(stream, whole[len(prompt) :])) + stream.finish() == "  b\n"


def test_two_characters_of_bytes_in_a_row():
    tokenizer = made(content(bpe(*BYTES), decoder=DECODERS["fallback"]))
    ids = {byte: tokenizer.mark(name) for byte, name in enumerate(BYTES)}
    stream = Stream(tokenizer, ())
    assert pushed(stream, [ids[byte] for byte in "日本".encode()]) == [""] * 6  # one more byte would break both
    assert stream.push(tokenizer.mark("a")) == "日本a"
    assert pushed(stream, [ids[0xE6], ids[0x97], tokenizer.mark("b")]) == ["", "", "\ufffd\ufffdb"]


def test_what_streams_is_shown_soon():
    """The end of a text is held back only where a decoder needs it: never more than a token, or a run of bytes."""
    for kind in ("text", "pieces", "prepend", "always", "first", "captions", "words", "decoder ctc"):
        tokenizer = kinds()[kind]
        stream = Stream(tokenizer, ())
        tokens = [token for token in tokenizer.encode("a b a b a")]
        shown = "".join(pushed(stream, tokens))
        assert shown == tokenizer.decode(tokens), kind


def test_half_a_character_waits_and_every_other_is_shown_at_once():
    stream = Stream(Bytes())
    assert pushed(stream, "aé\U0001f600b".encode()) == ["a", "", "é", "", "", "", "\U0001f600", "b"]
    assert stream.finish() == ""


def test_a_broken_character_is_shown_when_it_cannot_become_whole():
    stream = Stream(Bytes())
    assert pushed(stream, b"\xe4\xb8a") == ["", "", "\ufffda"]
    assert stream.push(0xE4) == "" and stream.finish() == "\ufffd"


def test_a_character_that_a_prompt_begins_is_shown_whole():
    stream = Stream(Bytes(), b"a\xe6\x97")
    assert stream.push(0xA5) == "日" and stream.finish() == ""


def test_marks_say_nothing():
    for tokenizer in kinds().values():
        stream = Stream(tokenizer, ())
        assert stream.push(tokenizer.start) == "" and stream.push(tokenizer.end) == "" == stream.finish()


def test_every_decoder_of_the_library_is_known():
    tried = {one["type"] for spec in DECODERS.values() if spec for one in [spec, *spec.get("decoders", ())]}
    public = {name for name, kind in vars(decoders).items() if isinstance(kind, type) and name[0] != "_"}
    assert public - {"Decoder", "DecodeStream"} == tried
