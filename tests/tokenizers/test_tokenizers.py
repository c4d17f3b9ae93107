"""Tokenizers: round trips, the same training twice, and a plain word about whatever did not fit."""

import json

import numpy as np
import pytest

from gen import tokenizers
from gen.tokenizers import Bytes, fit, fit_prompt, load, train

CAPTIONS = [f"a handwritten {word} in {ink} ink" for word in ("two", "seven") for ink in ("red", "blue", "green")]


@pytest.fixture(scope="module")
def subword():
    return train(CAPTIONS, vocab_size=60)


def test_both_meet_the_protocol(subword):
    for tokenizer in (Bytes(), subword):
        assert isinstance(tokenizer, tokenizers.Tokenizer)
        marks = {tokenizer.start, tokenizer.end, tokenizer.pad}
        assert len(marks) == 3 and tokenizer.end == tokenizer.vocab_size - 1 == max(marks)


@pytest.mark.parametrize("text", ["", "a two", "naïve 七 \U0001f600", "<end>"])
def test_bytes_round_trip(text):
    assert Bytes().encode(text) == list(text.encode())
    assert Bytes().decode([257, *Bytes().encode(text), 258, 256]) == text


def test_subwords_round_trip_in_lower_case(subword):
    for caption in CAPTIONS:
        ids = subword.encode(f"  {caption.upper()} ")
        assert subword.decode([subword.start, *ids, subword.end, subword.pad]) == caption
        assert max(ids) < subword.vocab_size <= 60 and len(ids) < len(caption)
    first = subword.encode("blue")
    assert subword.encode("in blue")[-len(first) :] == first  # a word is the same wherever it stands
    assert subword.encode("seven in red") == subword.encode("Seven\n in   red")


def test_training_twice_gives_the_same(subword):
    again = train(iter(CAPTIONS), vocab_size=60)
    assert again.fingerprint == subword.fingerprint
    assert train(CAPTIONS[:-1], vocab_size=60).fingerprint != subword.fingerprint


def test_text_that_spells_a_mark_is_text(subword):
    tokenizer = train([*CAPTIONS, "<end> <start> <pad>"], vocab_size=80)
    for mark in ("<end>", "<start>", "<pad>"):
        assert tokenizer.decode(tokenizer.encode(mark)) == mark
        assert not {tokenizer.start, tokenizer.end, tokenizer.pad} & set(tokenizer.encode(mark))


def test_saved_and_loaded(subword, tmp_path):
    for tokenizer in (Bytes(), subword):
        tokenizer.save(tmp_path / "tokenizer.json")
        loaded = load(tmp_path / "tokenizer.json")
        assert loaded.fingerprint == tokenizer.fingerprint
        assert loaded.encode("a two in red") == tokenizer.encode("a two in red")


def test_a_tokenizer_json_of_the_library(subword, tmp_path):
    subword.save(tmp_path / "ours.json")
    content = json.loads((tmp_path / "ours.json").read_text())["tokenizer"]
    text = json.dumps(
        content | {"truncation": {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}}
    )
    for old, new in (("<start>", "<|startoftext|>"), ("<end>", "<|endoftext|>")):
        text = text.replace(old, new)
    path = tmp_path / "tokenizer.json"
    path.write_text(text)
    loaded = load(path)
    assert (loaded.start, loaded.end, loaded.pad) == (subword.start, subword.end, subword.pad)
    assert loaded.encode(CAPTIONS[0]) == subword.encode(CAPTIONS[0])  # however long
    path.write_text(text.replace("<|startoftext|>", "<go>"))
    with pytest.raises(ValueError, match=r"no start token of a known name; put the tokenizer_config.json .*<go>"):
        load(path)
    assert load(path, start="<go>").start == subword.start


def test_files_that_are_no_tokenizers(tmp_path):
    path = tmp_path / "tokenizer.json"
    for content in ("", "[]", '{"model": 1}'):
        path.write_text(content)
        with pytest.raises(ValueError, match="tokenizer.json"):
            load(path)


def test_fit_frames_and_pads():
    tokens_T, length, cut, unknown = fit(Bytes(), "abc", context=8)
    np.testing.assert_array_equal(tokens_T, [257, 97, 98, 99, 258, 256, 256, 256])
    assert tokens_T.dtype == np.int32 and (length, cut, unknown) == (5, "", ())
    assert fit(Bytes(), "abc", context=8).notes == []


def test_fit_says_what_was_cut(subword):
    exact = fit(Bytes(), "abcd", context=6)
    assert exact.cut == "" and exact.length == 6
    fitted = fit(Bytes(), "abcdefg", context=6)
    assert fitted.cut == "efg" and fitted.tokens_T[-1] == 258 and "'efg'" in fitted.notes[0]
    caption = CAPTIONS[0]
    fitted = fit(subword, caption, context=4)
    kept = subword.decode(fitted.tokens_T)
    assert kept and fitted.cut and (kept + fitted.cut).replace(" ", "") == caption.replace(" ", "")


def test_unknown_characters_are_reported(subword):
    fitted = fit_prompt(subword, "a seven in RED Ж ink, ж", context=40)
    assert fitted.unknown == ("Ж", ",", "ж")
    assert "not in the vocabulary: 'Ж', ',', 'ж'" in fitted.notes[-1]
    with pytest.raises(ValueError, match="no character of the prompt"):
        fit_prompt(subword, "ЖЖ Ж", context=40)
    assert fit_prompt(Bytes(), "Ж", context=40).unknown == ()


@pytest.mark.parametrize("prompt", ["", " \n"])
def test_an_empty_prompt_is_refused(prompt):
    with pytest.raises(ValueError, match="the prompt is empty"):
        fit_prompt(Bytes(), prompt, context=8)


def test_what_cannot_be_trained_or_fitted():
    with pytest.raises(ValueError, match="without captions"):
        train([], vocab_size=300)
    needed = len(set("".join(CAPTIONS))) + 4  # a token for each character, and pad, unknown, start, end
    with pytest.raises(ValueError, match=f"need {needed} tokens before any merge, vocab_size is 10"):
        train(CAPTIONS, vocab_size=10)
    with pytest.raises(ValueError, match="a context of 2 tokens"):
        fit(Bytes(), "a", context=2)
