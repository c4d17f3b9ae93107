"""Texts from a tiny random model, against a full forward pass for every token."""

import dataclasses

import jax
import numpy as np
import pytest

from gen.sample.generator import Generator, PendingRow
from gen.sample.sampling_params import SamplingParams
from gen.sample.scorer import Scorer
from gen.tokenizers import Bytes, Stream
from tests.sample.lm import MODEL, placed
from tests.tokenizers.kinds import DECODERS, PREPEND, bpe, content, made

GREEDY = SamplingParams(temperature=0.0)
WARM = SamplingParams(temperature=1.2, top_k=50)
PROMPTS = ["a", "hello there", "x = 1"]
NEW = 10


class Letters(Bytes):
    """Every id reads as two letters, so that any text is legible and a stop string may cross a border."""

    def decode(self, tokens):
        return "".join(map(self.push, tokens))

    def decoder(self):
        return self

    def push(self, token):
        return chr(97 + int(token) // 16) + chr(97 + int(token) % 16)

    def finish(self):
        return ""


@pytest.fixture(scope="module")
def writer():
    params, mesh = placed()
    return Generator(params, MODEL, Letters(), mesh)


@pytest.fixture(scope="module")
def greedy(writer):
    return writer.generate(PROMPTS, new=NEW, choice=GREEDY)


def tokens(written):
    return [w.tokens for w in written]


def test_greedy_text_is_the_likeliest_token_of_a_full_forward_each_time(writer, greedy, forward):
    for w, prompt in zip(greedy, PROMPTS, strict=True):
        assert w.prompt == prompt and w.reason == "length"
        assert w.tokens == forward.greedy(writer.encode(prompt), NEW)
        assert w.text == writer.tokenizer.decode(w.tokens)
    assert len({tuple(w.tokens) for w in greedy}) == 3


def test_log_probabilities_are_those_of_a_full_forward_whatever_the_choice(writer, greedy, forward):
    warm = writer.generate(PROMPTS, new=NEW, choice=WARM)
    for w in (*greedy, *warm):
        prompt = writer.encode(w.prompt)
        log_p_TV = forward.log_p(prompt + w.tokens)
        expected = log_p_TV[np.arange(NEW) + len(prompt) - 1, w.tokens]
        np.testing.assert_allclose(w.log_p, expected, atol=2e-5)


def test_a_text_depends_neither_on_its_mates_nor_on_the_stride(writer):
    write = lambda prompts, **how: tokens(writer.generate(prompts, new=NEW, choice=WARM, **how))
    first, second, _ = write(PROMPTS)
    assert write(["a", "hello there", "something else"])[:2] == [first, second]
    assert write(PROMPTS, stride=3)[:2] == [first, second]


def test_copies_differ_and_come_again_with_their_seed(writer, forward):
    write = lambda seed: writer.generate(PROMPTS[:2], new=NEW, copies=2, choice=WARM, seed=seed)
    one, two = write(1), write(2)
    assert one == write(1)
    assert len({tuple(row) for row in tokens(one + two)}) == 8
    assert [w.prompt for w in one] == [prompt for prompt in PROMPTS[:2] for _ in range(2)]
    for w in one:  # each follows its own prompt
        tokens_T = writer.encode(w.prompt) + w.tokens
        np.testing.assert_allclose(w.log_p[-1], forward.log_p(tokens_T)[-2, tokens_T[-1]], atol=2e-5)


@pytest.mark.parametrize("stride", [1, 16])
def test_a_stop_string_ends_its_row_only_and_is_left_out(writer, greedy, stride):
    stop = greedy[1].text[7:10]  # its second letter ends a token, the others are of the next
    at = greedy[1].text.index(stop)
    written = writer.generate(PROMPTS, new=NEW, choice=GREEDY, stop=("never", stop), stride=stride)
    assert (written[1].reason, written[1].text) == ("stop", greedy[1].text[:at])
    assert written[1].tokens == greedy[1].tokens[: (at + 4) // 2]
    for own, whole in zip(written, greedy, strict=True):
        if stop not in whole.text:
            assert own == whole and own.reason == "length"


def test_the_earliest_stop_string_counts(writer, greedy):
    text = greedy[0].text
    written = writer.generate(PROMPTS, new=NEW, choice=GREEDY, stop=(text[3:4], text[2:4]))
    assert written[0].text == text[: min(text.index(text[3:4]), text.index(text[2:4]))]


def test_pieces_are_the_text_and_leave_the_callers_mesh_alone(writer, greedy):
    stop = (greedy[0].text[12:15], "never")
    how = {"new": NEW, "choice": GREEDY, "stop": stop, "stride": 1}
    texts = [""] * 3
    for piece in writer.stream(PROMPTS, **how):
        assert piece.text and jax.sharding.get_abstract_mesh().empty
        texts[piece.row] += piece.text
        assert not any(s in texts[piece.row] for s in stop)
    assert texts == [w.text for w in writer.generate(PROMPTS, **how)]


def test_the_end_token_ends_a_row(greedy):
    tokenizer = Letters()
    tokenizer.end = greedy[0].tokens[4]
    at = greedy[0].tokens.index(tokenizer.end)
    params, mesh = placed()
    writer = Generator(params, MODEL, tokenizer, mesh)
    ended = writer.generate(PROMPTS, new=NEW, choice=GREEDY)
    assert (ended[0].reason, ended[0].tokens) == ("end", greedy[0].tokens[: at + 1])
    assert ended[0].text == greedy[0].text[: 2 * at]
    assert {w.reason for w in writer.generate(PROMPTS, new=1, choice=GREEDY, end=False)} == {"length"}


def test_a_row_ends_with_the_context(writer, forward):
    prompt = "b" * 28  # and a start: 29 of 32
    long, *short = writer.generate([prompt, "a", "b"], new=NEW, choice=GREEDY)
    assert (long.reason, long.tokens) == ("context", forward.greedy(writer.encode(prompt), 3))
    assert [(w.reason, len(w.tokens)) for w in short] == [("length", NEW)] * 2


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"prompts": ["b" * 31]}, "has 32 tokens, which leaves no room in the model's context of 32; shorten it"),
        ({"prompts": ["a\udcff"]}, r"the prompt 'a\\udcff' is not UTF-8 at character 2"),
        ({"prompts": []}, "writing needs a prompt"),
        ({"new": 0}, "at least 1"),
        ({"stop": ("x", "")}, "none of them empty"),
        ({"stop": "ab"}, "must be a list of strings"),
    ],
)
def test_what_cannot_be_written_is_refused(writer, how, message):
    with pytest.raises(ValueError, match=message):
        writer.generate(**{"prompts": ["a"], "new": 4} | how)


def test_a_tokenizer_of_another_model_is_refused():
    params, mesh = placed()
    small = dataclasses.replace(MODEL, vocab=100)
    with pytest.raises(ValueError, match="the tokenizer has 259 tokens, the model 100; give it its own"):
        Generator(params, small, Bytes(), mesh)
    with pytest.raises(ValueError, match="the tokenizer has 259 tokens, the model 100; give it its own"):
        Scorer(params, small, Bytes(), mesh)


def test_nothing_compiles_again_within_a_bucket_of_lengths(writer, greedy):
    sizes = lambda: (writer._begin._cache_size(), writer._advance._cache_size())
    before = sizes()
    writer.generate(["another", "of other", "lengths"], new=NEW + 3, choice=GREEDY)
    assert sizes() == before


def test_a_mesh_writes_the_same(greedy):
    params, mesh = placed(data=2, fsdp=2, tensor=2)
    assert tokens(Generator(params, MODEL, Letters(), mesh).generate(PROMPTS, new=NEW, choice=GREEDY)) == tokens(greedy)


@pytest.fixture(scope="module")
def padded():
    """A model with more rows than its tokenizer has ids, of which those beyond are the likeliest."""
    params, mesh = placed()
    rows = np.array(params["tokens"])
    small = made(content(bpe(byte_fallback=False), normalizer=PREPEND, decoder=DECODERS["llama"]))
    rows[small.vocab_size :] *= 50
    return Generator({**params, "tokens": jax.device_put(rows, params["tokens"].sharding)}, MODEL, small, mesh)


ANY = SamplingParams(temperature=1.2, top_k=MODEL.vocab, top_p=0.98, min_p=0.001, penalty=1.5)


@pytest.mark.parametrize("choice", [GREEDY, ANY], ids=["greedy", "any"])
def test_ids_that_the_tokenizer_has_not_are_never_written(padded, choice):
    for w in padded.generate(["a", "b a"], new=NEW, copies=4, choice=choice, end=False):
        assert len(w.tokens) == NEW and max(w.tokens) < padded.tokenizer.vocab_size < MODEL.vocab


def test_a_text_goes_on_behind_its_prompt_and_an_answer_is_a_text_of_its_own(padded):
    tokenizer, how = padded.tokenizer, {"new": NEW, "copies": 4, "choice": ANY, "end": False}
    for w in padded.generate(["a b", "a"], **how):
        whole = tokenizer.decode([*padded.encode(w.prompt), *w.tokens])
        assert w.text == whole.removeprefix(w.prompt) and whole.startswith(w.prompt)
    asked = [tokenizer.start, *tokenizer.encode("a b")]
    written = padded.generate([asked, asked], **how)
    assert [w.text for w in written] == [tokenizer.decode(w.tokens) for w in written]


def test_a_stop_string_is_found_where_texts_meet_and_in_what_is_held_back():
    row = PendingRow("", [], Stream(Bytes()))
    assert not row.grow("one tw", ("two", "xy")) and row.grow("o x", ("two", "xy")) and row.text == "one "
    row = PendingRow("", [], Stream(Bytes()))
    assert not row.grow("abc", ()) and not row.grow("", ("z",)) and row.grow("cxcx", ("cx", "cc")) and row.text == "ab"


class Late(Bytes):
    """Says everything at the end, as a run of bytes of a byte-fallback tokenizer may."""

    def decoder(self):
        return LateDecoder()


class LateDecoder:
    def __init__(self):
        self.tokens = ()

    def push(self, token):
        self.tokens += (token,)
        return ""

    def finish(self):
        return Letters().decode(self.tokens)


def test_a_stop_string_in_what_comes_last_ends_the_text(greedy):
    params, mesh = placed()
    prompt, *_ = PROMPTS
    stop = greedy[0].text[5:8]
    (written,) = Generator(params, MODEL, Late(), mesh).generate([prompt], new=NEW, choice=GREEDY, stop=(stop,))
    assert written.reason == "stop" and written.text == greedy[0].text[: greedy[0].text.index(stop)]
