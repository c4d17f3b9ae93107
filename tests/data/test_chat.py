"""Rows of conversations: packed whole, only the assistant's tokens count, one row each to evaluate, fingerprints."""

import dataclasses

import numpy as np
import pytest

from gen import config
from gen.data.chat import ChatDataConfig, ChatPipeline
from gen.data.chat_tokenizer import make_chat_tokenizer
from gen.data.conversations import open_conversations
from gen.data.dialogue import dialogue
from gen.tokenizers import Bytes, train_text
from gen.tokenizers.template import Message, Template
from tests.data.test_conversations import chat, write
from tests.data.test_tokens import Joined

BYTES = Bytes()
SUBWORD = train_text(["User: Hi there\nAssistant: Hello there\n"] * 9, vocab_size=280)


@pytest.fixture
def cfg(tmp_path):
    """Conversations of one to three answers, of different lengths."""
    turns = [("u: q" + "?" * (i % 4), f"a: answer {i}") * (1 + i % 3) for i in range(40)]
    path = write(tmp_path / "a.jsonl", *(chat("s: Be brief.", *t) if len(t) == 2 else chat(*t) for t in turns))
    return ChatDataConfig(f"chat:{path}", {"test_fraction": 0.3})


def conversations_of(row: dict) -> list[list[int]]:
    """The tokens of each conversation of a row."""
    return [row["tokens"][row["segments"] == n].tolist() for n in range(1, row["segments"].max() + 1)]


@pytest.mark.parametrize("tokenizer", [Bytes(), SUBWORD, Joined()])
def test_an_epoch_holds_every_conversation_once_and_whole(cfg, tokenizer):
    pipeline = ChatPipeline(cfg, tokenizer, 200)
    loader = pipeline.train(1)
    rows = [{name: array[0] for name, array in loader.batch(p).items()} for p in range(loader.count)]
    found = [tokens for row in rows for tokens in conversations_of(row)]
    expected = []
    for one in open_conversations(cfg.source, "train", **cfg.options):
        tokens = Template().render(one.messages, tokenizer).tokens
        expected.append(tokens[: len(tokens) - len(tokenizer.encode("\n"))])  # without what is behind the last end
    assert sorted(found) == sorted(expected) != found
    assert len(rows) < len(found) and not pipeline.notes
    for row in rows:
        used = sum(row["segments"] > 0)
        assert (row["segments"][:used] > 0).all() and (np.diff(row["segments"][:used]) >= 0).all()
        assert (row["tokens"][used:] == tokenizer.pad).all() and (row["positions"][used:] == 0).all()
        assert row["positions"][:used].tolist() == [i for tokens in conversations_of(row) for i in range(len(tokens))]


def test_rows_are_filled_to_the_last_token(tmp_path):
    path = write(tmp_path / "a.jsonl", *(chat("u: x", f"a: {i}") for i in range(8)))
    size = 1 + len("User: x\nAssistant: 1") + 1
    for length, rows in ((size, 8), (2 * size - 1, 8), (2 * size, 4), (8 * size, 1)):
        loader = ChatPipeline(ChatDataConfig(f"chat:{path}", {"test_fraction": 0.0}), BYTES, length).train(1)
        assert loader.count == rows and (loader.batch(0)["segments"] == 0).sum() == length - 8 // rows * size


@pytest.mark.parametrize("tokenizer", [Bytes(), SUBWORD, Joined()])
def test_only_targets_of_the_assistant_count(cfg, tokenizer):
    batch = ChatPipeline(cfg, tokenizer, 200).train(8).batch(0)
    assert {name: (array.shape, array.dtype) for name, array in batch.items()} == {
        **{name: ((8, 200), np.dtype(np.int32)) for name in ("tokens", "targets", "segments", "positions")},
        "weights": ((8, 200), np.dtype(np.float32)),
    }
    for row in range(8):
        one = {name: array[row] for name, array in batch.items()}
        same = np.append(one["segments"][1:] == one["segments"][:-1], False) & (one["segments"] > 0)
        np.testing.assert_array_equal(one["targets"][:-1][same[:-1]], one["tokens"][1:][same[:-1]])
        assert (one["targets"][~same] == tokenizer.pad).all() and not one["weights"][~same].any()
        counted = one["targets"][one["weights"] == 1]
        answers = tokenizer.decode(counted[counted != tokenizer.end]).split("answer ")[1:]
        assert len(answers) == sum(counted == tokenizer.end) and all(answer.isdigit() for answer in answers)


def test_in_every_row_an_end_counts(cfg):
    loader = ChatPipeline(cfg, Bytes(), 200).train(1)
    for position in range(loader.count):
        row = loader.batch(position)
        assert ((row["targets"] == Bytes.end) & (row["weights"] == 1)).any()


@pytest.mark.parametrize("tokenizer", [Bytes(), SUBWORD])
def test_an_evaluation_asks_for_the_last_answer(cfg, tokenizer):
    once = ChatPipeline(cfg, tokenizer, 200).evaluate(4)
    test = open_conversations(cfg.source, "test", **cfg.options)
    rows = [{name: array[i] for name, array in once.batch(p).items()} for p in range(len(once)) for i in range(4)]
    assert len(test) == sum(row["weight"] == 1 for row in rows)
    asked = sorted((Template().ask(one.messages[:-1], tokenizer), one.messages[-1].content) for one in test)
    found = []
    for row in rows:
        if not row["weight"]:
            assert not row["weights"].any()
            continue
        assert row["prompt"].dtype == np.int32 and row["segments"].max() == 1
        (tokens,) = conversations_of(row)
        found.append((tokens[: row["prompt"]], tokenizer.decode(tokens[row["prompt"] :])))
        assert row["weights"][row["prompt"] - 1] == 1 and tokens[-1] == tokenizer.end
    assert sorted(found) == asked


def test_what_the_template_says_behind_the_last_end_is_left_out():
    messages = [Message("user", "a"), Message("assistant", "b"), Message("user", "c"), Message("assistant", "d")]
    template = Template(user="{content}", assistant="={content}{end}...")
    one = dialogue(messages, template, Bytes())
    assert one.tokens_N.tolist() == [257, *b"a=b", 258, *b"...c=d", 258]
    assert (one.prompt, np.flatnonzero(one.counts_N).tolist()) == (10, [3, 4, 10, 11])
    trailing = dialogue([*messages, Message("user", "e")], template, Bytes())
    assert trailing.tokens_N.tolist() == one.tokens_N.tolist() and trailing.prompt == one.prompt


def test_long_ones_are_left_out_and_told(tmp_path):
    entries = [chat(f"u: {chr(65 + i)}", f"a: {'y' * (80 if i in (3, 5) else 9)}") for i in range(30)]
    path = write(tmp_path / "a.jsonl", *entries)
    cfg = ChatDataConfig(f"chat:{path}", {"test_fraction": 0.0})
    size = 1 + len("User: x\nAssistant: ") + 80 + 1
    whole = ChatPipeline(cfg, Bytes(), size)
    assert not whole.notes and ChatPipeline(cfg, Bytes(), size - 1).notes == [
        f"2 of 30 conversations are longer than the model's context of {size - 1} tokens and left out, "
        f"the first a.jsonl:4 with {size}"
    ]
    with pytest.raises(ValueError, match=r"30 of 30 conversations are longer than .* 20 tokens .* none is left"):
        ChatPipeline(cfg, Bytes(), 20)
    pipeline = ChatPipeline(dataclasses.replace(cfg, options={"test_fraction": 0.5}), Bytes(), size - 1)
    for _ in range(2):
        pipeline.evaluate(4)
    assert sum("of" in note for note in pipeline.notes) == len(set(pipeline.notes)) in (1, 2)
    assert any("held-out conversations" in note for note in pipeline.notes) == any(
        len(one.messages[1].content) == 80 for one in open_conversations(cfg.source, "test", test_fraction=0.5)
    )


def test_everything_that_changes_a_batch_changes_the_fingerprint(cfg):
    def fingerprint(tokenizer=BYTES, length=200, **fields):
        return ChatPipeline(dataclasses.replace(cfg, **fields), tokenizer, length).fingerprint

    prints = [
        fingerprint(), fingerprint(SUBWORD), fingerprint(length=201), fingerprint(seed=1),
        fingerprint(template=Template(user="{content}\n")), fingerprint(options={"test_fraction": 0.1}),
    ]  # fmt: skip
    assert len(set(prints)) == len(prints) and fingerprint() == prints[0]
    batches = [ChatPipeline(dataclasses.replace(cfg, seed=seed), Bytes(), 200).train(4).batch(0) for seed in (0, 0, 1)]
    assert (batches[0]["tokens"] == batches[1]["tokens"]).all() and (batches[0]["tokens"] != batches[2]["tokens"]).any()


def test_a_config_from_plain_data():
    plain = {"source": "instructions", "template": {"user": "Q: {content}\n"}, "options": {"count": 5}}
    cfg = config.build(ChatDataConfig, plain, "data")
    assert cfg.template.user == "Q: {content}\n" and cfg.template.assistant == Template().assistant
    assert config.build(ChatDataConfig, config.to_dict(cfg), "data") == cfg
    assert Bytes().decode(ChatPipeline(cfg, Bytes(), 80).train(1).batch(0)["tokens"][0]).startswith("Q: ")


def test_tokenizers_by_name(tmp_path):
    SUBWORD.save(tmp_path / "t.json")
    cfg = ChatDataConfig("instructions")
    assert make_chat_tokenizer(cfg) is None
    assert isinstance(make_chat_tokenizer(dataclasses.replace(cfg, tokenizer="bytes")), Bytes)
    loaded = make_chat_tokenizer(dataclasses.replace(cfg, tokenizer=str(tmp_path / "t.json")))
    assert loaded is not None and loaded.fingerprint == SUBWORD.fingerprint
    with pytest.raises(ValueError, match="data.tokenizer='bpe:512': fine-tuning trains no tokenizer"):
        make_chat_tokenizer(dataclasses.replace(cfg, tokenizer="bpe:512"))
