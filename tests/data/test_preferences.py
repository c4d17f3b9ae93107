"""Rows of rankings: each answer behind the same prompt, filling that is marked, demonstrations beside them."""

import dataclasses

import numpy as np
import pytest

from gen.data.preferences import RankingDataConfig, RankingPipeline
from gen.data.rankings import open_rankings
from gen.tokenizers import Bytes
from gen.tokenizers.template import Template
from tests.data.test_conversations import chat, write


@pytest.fixture
def cfg(tmp_path):
    """Twenty pairs and twenty of four answers with a tie, and conversations."""
    lines = [chat(f"u: {i}") | {"chosen": "yes", "rejected": "no" * (1 + i % 5)} for i in range(20)]
    lines += [chat("u: x", "a: y", f"u: {i}") | {"ranked": ["a", ["bb", "ccc"], "d"]} for i in range(20, 40)]
    write(tmp_path / "pairs.jsonl", *lines)
    write(tmp_path / "chats.jsonl", *(chat(f"u: {i}", f"a: answer {i}", "u: thanks") for i in range(40)))
    return RankingDataConfig(f"preferences:{tmp_path}/pairs.jsonl", {"test_fraction": 0.3})


def with_demonstrations(cfg):
    chats = cfg.source.replace("preferences:", "chat:").replace("pairs", "chats")
    return dataclasses.replace(cfg, demonstrations=chats, demonstration_options={"test_fraction": 0.3})


def test_rows_hold_each_answer_behind_the_prompt(cfg):
    loader = RankingPipeline(cfg, Bytes(), 64).train(1)
    train = open_rankings(cfg.source, "train", **cfg.options)
    by_question = {one.messages[-1].content: one for one in train}
    seen = set()
    for position in range(len(train)):
        row = {name: array[0] for name, array in loader.batch(position).items()}
        assert {name: (a.shape, a.dtype) for name, a in row.items()} == {
            "tokens": ((4, 64), np.dtype(np.int32)), "length": ((4,), np.dtype(np.int32)),
            "prompt": ((), np.dtype(np.int32)), "rank": ((4,), np.dtype(np.int32)),
        }  # fmt: skip
        asked = row["tokens"][0][: row["prompt"]].tolist()
        question = Bytes().decode(asked).split("User: ")[-1].split("\n")[0]
        one = by_question[question]
        seen.add(question)
        assert asked == Template().ask(one.messages, Bytes())
        assert row["rank"].tolist() == [*one.ranks, *[-1] * (4 - len(one.ranks))]
        for k, length in enumerate(row["length"]):
            kept, rest = row["tokens"][k][:length].tolist(), row["tokens"][k][length:]
            assert (rest == Bytes.pad).all()
            expected = [*asked, *one.answers[k].encode(), Bytes.end] if k < len(one.answers) else [Bytes.start]
            assert kept == expected
    assert seen == set(by_question)


def test_an_evaluation_has_each_ranking_once(cfg):
    once = RankingPipeline(cfg, Bytes(), 64).evaluate(4)
    weight = np.concatenate([once.batch(p)["weight"] for p in range(len(once))])
    assert weight.sum() == len(open_rankings(cfg.source, "test", **cfg.options))


def test_demonstrations_in_an_order_of_their_own(cfg):
    cfg = with_demonstrations(cfg)
    pipeline = RankingPipeline(cfg, Bytes(), 64)
    loader = pipeline.train(2)
    whole = [loader.batch(position) for position in range(60)]
    plain = RankingPipeline(dataclasses.replace(cfg, demonstrations="", demonstration_options={}), Bytes(), 64)
    np.testing.assert_array_equal(whole[9]["tokens"], plain.train(2).batch(9)["tokens"])
    shown = set()
    for batch in whole:
        assert batch["demonstration_tokens"].shape == (2, 64) and batch["demonstration_length"].shape == (2,)
        for tokens, length in zip(batch["demonstration_tokens"], batch["demonstration_length"], strict=True):
            assert (tokens[length:] == Bytes.pad).all() and tokens[length - 1] == Bytes.end
            text = Bytes().decode(tokens)
            number = text.rpartition(" ")[2]
            assert text == f"User: {number}\nAssistant: answer {number}"
            shown.add(number)
    assert 15 < len(shown) < 40
    rows = loader.batch(7, [1])
    assert all((rows[name] == whole[7][name][1:]).all() for name in rows)
    tested = pipeline.evaluate(4)
    batches = [tested.batch(position) for position in range(len(tested))]
    held_out = {Bytes().decode(t).rpartition(" ")[2] for b in batches for t in b["demonstration_tokens"]}
    assert held_out and not held_out & shown


def test_as_many_demonstrations_as_rankings_are_not_always_the_same_beside_the_same(cfg):
    every = {"test_fraction": 0.0}
    cfg = dataclasses.replace(with_demonstrations(cfg), options=every, demonstration_options=every)
    loader = RankingPipeline(cfg, Bytes(), 64).train(40)
    epochs = [loader.batch(position) for position in range(4)]
    pairs = {(one.tobytes(), other.tobytes()) for batch in epochs
             for one, other in zip(batch["tokens"], batch["demonstration_tokens"], strict=True)}  # fmt: skip
    assert len(pairs) > 100


def test_long_ones_are_left_out_and_told(cfg):
    size = 1 + len("User: 4\nAssistant: ") + 10 + 1  # of the longest answer to a question of one digit
    pipeline = RankingPipeline(with_demonstrations(cfg), Bytes(), size - 1)
    assert [note.partition(" longer")[0].split(" ", 1)[1] for note in pipeline.notes][0].endswith("rankings are")
    assert all("context of 30 tokens and left out, the first " in note for note in pipeline.notes)
    with pytest.raises(ValueError, match=r"rankings are longer than .* none is left"):
        RankingPipeline(cfg, Bytes(), 10)


def test_fingerprints(cfg):
    shown = with_demonstrations(cfg)

    def fingerprint(cfg, length=64, **fields):
        return RankingPipeline(dataclasses.replace(cfg, **fields), Bytes(), length).fingerprint

    prints = [
        fingerprint(cfg), fingerprint(shown), fingerprint(cfg, 65), fingerprint(cfg, seed=1),
        fingerprint(cfg, template=Template(user="{content}\n")), fingerprint(cfg, options={"test_fraction": 0.2}),
        fingerprint(shown, demonstration_options={"test_fraction": 0.2}),
    ]  # fmt: skip
    assert len(set(prints)) == len(prints) and fingerprint(cfg) == prints[0]


def test_options_of_nothing(cfg):
    with pytest.raises(ValueError, match="data.demonstration_options is set and data.demonstrations is not"):
        RankingPipeline(dataclasses.replace(cfg, demonstration_options={"seed": 3}), Bytes(), 64)
