"""Rows of prompts: asked as a model is asked, the true answer beside them, text beside them, what does not fit."""

import dataclasses

import numpy as np
import pytest

from gen import config
from gen.data.conversations import open_conversations
from gen.data.prompts import PromptDataConfig, PromptPipeline
from gen.data.text import TextDataConfig, TextPipeline
from gen.tokenizers import Bytes
from gen.tokenizers.template import Template
from tests.data.test_conversations import chat, write

CFG = PromptDataConfig("instructions", {"count": 30, "held_out": 10})


def rows_of(loader, count: int) -> list[dict]:
    return [{name: array[0] for name, array in loader.batch(position).items()} for position in range(count)]


@pytest.mark.parametrize("split", ["train", "test"])
def test_rows_ask_and_know_the_answer(split):
    pipeline = PromptPipeline(CFG, Bytes(), length=80, new=17)
    expected = open_conversations("instructions", split, **CFG.options)
    rows = rows_of(pipeline.train(1) if split == "train" else pipeline.evaluate(1), len(expected))
    found = []
    for row in rows:
        assert (row["tokens"].shape, row["answer"].shape) == ((63,), (17,))
        assert {row[name].dtype for name in ("tokens", "length", "answer", "answer_length")} == {np.dtype(np.int32)}
        assert (row["tokens"][row["length"] :] == Bytes.pad).all()
        assert (row["answer"][row["answer_length"] :] == Bytes.pad).all()
        answer = row["answer"][: row["answer_length"]].tolist()
        assert answer[-1] == Bytes.end
        found.append((row["tokens"][: row["length"]].tolist(), Bytes().decode(answer)))
    asked = [(Template().ask(one.messages[:1], Bytes()), one.messages[1].content) for one in expected]
    assert sorted(found) == sorted(asked)


def test_text_beside_prompts(tmp_path):
    (tmp_path / "t.txt").write_text("".join(f"line {i}\n" for i in range(400)))
    text = TextDataConfig(source=f"text:{tmp_path}/t.txt", seed=5, cache=str(tmp_path / "cache"))
    cfg = dataclasses.replace(CFG, pretrain=text, pretrain_rows=3)
    pipeline = PromptPipeline(cfg, Bytes(), length=80, new=17)
    batch, plain = pipeline.train(4).batch(2), PromptPipeline(CFG, Bytes(), length=80, new=17).train(4).batch(2)
    rows = TextPipeline(text, Bytes(), 80).train(12).batch(2)
    for name, array in rows.items():
        np.testing.assert_array_equal(batch[f"pretrain/{name}"], array.reshape(4, 3, 80))
    assert batch.keys() == plain.keys() | {f"pretrain/{name}" for name in rows}
    assert all((batch[name] == plain[name]).all() for name in plain)
    some = pipeline.train(4).batch(2, [3, 1])
    assert all((some[name] == batch[name][[3, 1]]).all() for name in batch)
    assert "weight" in pipeline.evaluate(4).batch(0) and "pretrain/tokens" not in pipeline.evaluate(4).batch(0)
    prints = {
        PromptPipeline(one, Bytes(), 80, 17).fingerprint
        for one in (CFG, cfg, dataclasses.replace(cfg, pretrain_rows=2),
                    dataclasses.replace(cfg, pretrain=dataclasses.replace(text, seed=6)))
    }  # fmt: skip
    assert len(prints) == 4
    assert config.build(PromptDataConfig, config.to_dict(cfg), "data") == cfg


def test_what_does_not_fit_is_told(tmp_path):
    lines = [chat(f"u: {'x' * 20 if i == 3 else 'x'}", f"a: {'y' * (30 if i in (4, 5) else 2)}") for i in range(9)]
    cfg = PromptDataConfig(f"chat:{write(tmp_path / 'a.jsonl', *lines)}", {"test_fraction": 0.0})
    asked = 1 + len("User: x\nAssistant: ")
    pipeline = PromptPipeline(cfg, Bytes(), length=asked + 30, new=30)
    assert pipeline.notes == [
        f"1 of 9 prompts is longer than the {asked} tokens of a row of {asked + 30} without the 30 of the answer and "
        f"left out, the first a.jsonl:4 with {asked + 19}",
        "2 of 8 answers are longer than 30 new tokens and left out, the first a.jsonl:5 with 31",
    ]
    assert pipeline.train(1).count == 6
    with pytest.raises(ValueError, match="9 of 9 answers are longer than 2 new tokens .* none is left"):
        PromptPipeline(cfg, Bytes(), length=80, new=2)
    for length, new in ((5, 5), (5, 0)):
        with pytest.raises(ValueError, match=f"{new} new tokens of a row of {length} leave no room"):
            PromptPipeline(cfg, Bytes(), length, new)
    with pytest.raises(ValueError, match="pretrain_rows=0 must be at least 1"):
        dataclasses.replace(cfg, pretrain_rows=0)


def test_fingerprints():
    def fingerprint(length=80, new=17, **fields):
        return PromptPipeline(dataclasses.replace(CFG, **fields), Bytes(), length, new).fingerprint

    prints = [
        fingerprint(), fingerprint(81), fingerprint(new=18), fingerprint(seed=1), fingerprint(options={"count": 20}),
        fingerprint(template=Template(user="{content}\n")),
    ]  # fmt: skip
    assert len(set(prints)) == len(prints) and fingerprint() == prints[0]


def test_prompts_may_have_no_answer(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "Hi"}]}\n'
        '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}]}\n'
        '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"},'
        ' {"role": "user", "content": "Bye"}]}\n'
    )
    cfg = PromptDataConfig(f"prompts:{tmp_path}/a.jsonl", {"test_fraction": 0.0})
    rows = rows_of(PromptPipeline(cfg, Bytes(), length=80, new=17).train(1), 3)
    hi = "User: Hi\nAssistant: "
    assert sorted(int(row["answer_length"]) for row in rows) == [0, 0, 3]
    asked = {Bytes().decode(row["tokens"][: row["length"]]) for row in rows}
    assert asked == {hi, f"{hi}Yo\nUser: Bye\nAssistant: "}


def test_a_prompt_needs_a_user(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"messages": [{"role": "system", "content": "Be brief."}]}\n')
    with pytest.raises(ValueError, match=r"a\.jsonl:1: the user says nothing, so there is nothing to answer"):
        PromptPipeline(PromptDataConfig(f"prompts:{tmp_path}/a.jsonl", {"test_fraction": 0.0}), Bytes(), 80, 17)
