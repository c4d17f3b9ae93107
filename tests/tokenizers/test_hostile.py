"""Tokenizer files that are damaged or made to do harm: a tokenizer or one sentence, and no word of Rust's."""

import base64
import copy
import json
import os
import random

import pytest

from gen import jsonfile
from gen.tokenizers import Stream, load, train_text
from gen.tokenizers.sentencepiece import SentencePiece
from tests.tokenizers.kinds import BYTES, DECODERS, METASPACE, PREPEND, bpe, content, made, unigram, words
from tests.tokenizers.test_pieces import EXACT, model

CHARSMAP = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(b"\x08\0\0\0" + bytes(40)).decode()}
NO_CHARSMAP = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(b"\xff" * 9).decode()}
STOP = {"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 0, "stop": 5}]}


def with_id(number) -> dict:
    data = content(bpe(*BYTES))
    data["model"]["vocab"]["a"] = number
    return data


FILES = {
    "a table of characters that is none": (content(unigram(), normalizer=NO_CHARSMAP), "cannot be read by"),
    "a table of characters that leads astray": (content(unigram(), normalizer=CHARSMAP), "cannot encode a text"),
    "no unknown token": (content(words("WordLevel") | {"unk_token": "?"}), "cannot encode a text"),
    "a decoder that panics": (content(bpe(), decoder=STOP), "cannot decode a text"),
    "pieces of no length": (content(bpe(), pre_tokenizer={"type": "FixedLength", "length": 0}), "cannot"),
    "an id that takes all memory": (with_id(2**32 - 2), "the id of 'a' is 4294967294"),
    "a negative id": (with_id(-1), "the id of 'a' is -1"),
    "an id that is none": (with_id("x"), "the id of 'a' is 'x'"),
    "a number that is too large": (
        content(bpe(), pre_tokenizer={"type": "FixedLength", "length": 2**60}), "larger than any that a tokenizer has"
    ),
    "a prefix that is longer than a piece": (
        content(bpe(merges=["a b"], continuing_subword_prefix="####")), "cannot be read by"
    ),
    "a kind of model that nobody knows": (content({"type": "Magic", "vocab": {}}), "cannot be read by"),
    "no model": ({"added_tokens": []}, "cannot be read by"),
    "a decoder in place of a tokenizer": ({"kind": "subword", "tokenizer": 3}, "tokenizer is an integer"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "said"), FILES.values(), ids=FILES)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, capfd, data, said):
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match="tokenizer.json") as raised:
        load(tmp_path / "tokenizer.json")
    assert said in str(raised.value) and len(str(raised.value)) < 700
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer.model", "tokenizer_config.json"])
def test_files_that_are_none(tmp_path, name):
    (tmp_path / "tokenizer.json").write_text(json.dumps(content(bpe(*BYTES))))
    path = tmp_path / ("tokenizer.json" if name == "tokenizer_config.json" else name)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    if name != "tokenizer_config.json":  # which is not there, then
        with pytest.raises(ValueError, match=r"cannot read the tokenizer: .* is not a regular file"):
            load(path)
    (tmp_path / name).unlink()
    for data in (b"[" * 10**5, b'{"model": 1e999}', b"\xff\xfe", b'{"a": "\\ud800"}'):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=name):
            load(path)


def test_a_file_that_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr("gen.tokenizers.loading.SIZE", 1000)
    for name in ("tokenizer.json", "tokenizer.model"):
        (tmp_path / name).write_bytes(b" " * 1001)
        with pytest.raises(ValueError, match=f"{name} is larger than 1,000 bytes|it is larger than 1,000 bytes"):
            load(tmp_path / name)


def test_a_panic_that_shows_late_is_a_sentence_too():
    """A decoder that takes three spaces from the end of each string fails at a string of two."""
    decoder = {"type": "Strip", "content": " ", "start": 0, "stop": 3}
    tokenizer = made(content(bpe("  "), decoder=decoder))
    two = tokenizer.mark("  ")
    for call in (tokenizer.decode, lambda ids: [Stream(tokenizer, ()).push(one) for one in ids]):
        with pytest.raises(ValueError, match="the tokenizer here cannot decode a text"):
            call([two])


def test_half_a_surrogate_pair_is_refused_by_every_tokenizer():
    for tokenizer in (train_text(["ab ab\n" * 9], 264), SentencePiece(model(**EXACT), "here")):
        for call in (tokenizer.encode, tokenizer.unknown, lambda text: tokenizer.encode_batch([text])):  # noqa: B023
            with pytest.raises(ValueError, match=r"the text 'a\\ud83d' is not UTF-8 at character 2"):
                call("a\ud83d")


VALUES = (
    *(None, True, 0, -1, 255, 2**31, 2**32 - 1, 2**32, 2**63, 2**64, 10**30, 1.5, 1e308),
    *("", "a", "\u2581", "x" * 10_000, [], {}, [[]], [None], {"a": 1}, "\0"),
)


def bases() -> list[dict]:
    split = {"type": "Split", "pattern": {"Regex": "\\s+|\\w"}, "behavior": "Isolated", "invert": False}
    bert = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "lowercase": True}
    return [
        content(bpe(*BYTES, merges=["a b"]), normalizer=PREPEND, decoder=DECODERS["llama"]),
        content(unigram(*BYTES), pre_tokenizer=METASPACE["first"], decoder=DECODERS["first"]),
        content(words("WordPiece"), normalizer=bert, pre_tokenizer={"type": "BertPreTokenizer"}),
        content(words("WordLevel"), pre_tokenizer=split, decoder=DECODERS["ctc words"]),
        content(bpe(*BYTES), decoder=DECODERS["whole"], normalizer={"type": "NFKC"}),
    ]


def places(value, place=()):
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*place, key))


def mutated(draw: random.Random) -> dict:
    """A tokenizer.json of which one or two values are others, or missing."""
    data = copy.deepcopy(draw.choice(bases()))
    for _ in range(draw.choice((1, 1, 2))):
        every = [place for place in places(data) if place]
        few = [place for place in every if place[0] != "model" or len(place) < 3]
        *outer, key = draw.choice(few if draw.random() < 0.8 else every)
        inner = data
        for step in outer:
            inner = inner[step]
        if draw.random() < 0.25:
            del inner[key]
        else:
            inner[key] = draw.choice(VALUES)
    return data


def use(tokenizer) -> None:
    ids = tokenizer.encode("a b é 七 </s> \n x")
    stream = Stream(tokenizer, ids[:2])
    shown = "".join(map(stream.push, ids[2:])) + stream.finish()
    assert tokenizer.decode(ids).endswith(shown)
    tokenizer.unknown("a Ж")
    tokenizer.encode_batch(["a", "b c"])
    tokenizer.decode(range(min(tokenizer.vocab_size, 300)))


def refused(load, data) -> bool:
    """Whether a file is refused in a sentence of gen's; any other error fails the test."""
    try:
        use(load(data))
    except ValueError as error:
        assert type(error) in (ValueError, jsonfile.NotReadable) and 10 < len(str(error)) < 700, error
        return True
    return False


def of_json(tmp_path):
    def read(data):
        (tmp_path / "tokenizer.json").write_text(json.dumps(data))
        return load(tmp_path / "tokenizer.json")

    return read


def damaged_model(draw: random.Random, whole: bytes) -> bytes:
    data = bytearray(whole)
    for _ in range(draw.choice((1, 2, 5))):
        at = draw.randrange(len(data)) if draw.random() < 0.5 else max(0, len(data) - 1 - draw.randrange(400))
        match draw.randrange(4):
            case 0:
                data[at] ^= 1 << draw.randrange(8)
            case 1:
                data[at] = draw.choice((0, 127, 128, 255))
            case 2:
                del data[at : at + draw.randrange(1, 20)]
            case 3:
                data[at:at] = draw.randbytes(draw.randrange(1, 9))
    return bytes(data)


def many_files(tmp_path, count: int) -> None:
    read = of_json(tmp_path)
    outcomes = [refused(read, mutated(random.Random(i))) for i in range(count)]
    models = [model(**EXACT, user_defined_symbols=["<|a|>", "<td>"]), model(model_type="unigram", vocab_size=284)]
    for i in range(count):
        draw = random.Random(i)
        outcomes.append(refused(lambda data: SentencePiece(data, "t.model"), damaged_model(draw, draw.choice(models))))
    assert 0.2 < sum(outcomes) / len(outcomes) < 0.95


def test_files_of_which_some_values_are_others(tmp_path):
    many_files(tmp_path, 30)


@pytest.mark.prove
def test_a_thousand_files_of_which_some_values_are_others(tmp_path):
    many_files(tmp_path, 500)
