"""The text pipeline: batches by position, each token of an evaluation once, bytes that add up, errors that help."""

import dataclasses

import numpy as np
import pytest

from gen import config
from gen.data import text
from gen.data.mixture import MixturePart
from gen.data.text import TextDataConfig, TextPipeline, make_text_tokenizer
from gen.data.text_loader import TextOnce
from gen.data.tokens import prepare
from gen.tokenizers import Bytes
from tests.data.test_fim import Marked
from tests.data.test_tokens import Joined, Texts


@pytest.fixture
def cfg(tmp_path):
    """A folder with 60 short texts, and a cache beside it."""
    (tmp_path / "texts").mkdir()
    for i in range(60):
        (tmp_path / "texts" / f"{i}.txt").write_text(f"text {i} é\n" * (1 + i % 7))
    return TextDataConfig(source=f"text:{tmp_path}/texts", tokenizer="bytes", cache=str(tmp_path / "cache"),
                      options={"test_fraction": 0.3})  # fmt: skip


def same(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize("fim", [0.0, 0.5])
def test_rows_are_rows_of_the_whole_and_runs_agree(cfg, fim):
    cfg = dataclasses.replace(cfg, fim=fim)
    one, two = (TextPipeline(cfg, Marked(), 32) for _ in range(2))
    whole = one.train(6).batch(7)
    assert {name: (array.shape, array.dtype) for name, array in whole.items()} == {
        **{name: ((6, 32), np.dtype(np.int32)) for name in ("tokens", "targets", "segments", "positions")},
        "weights": ((6, 32), np.dtype(np.float32)),
    }
    for rows in (slice(0, 2), [5, 1], np.arange(1, 6, 2)):
        same(two.train(6).batch(7, rows), {name: array[rows] for name, array in whole.items()})
    again = [TextPipeline(dataclasses.replace(cfg, seed=seed), Marked(), 32).train(6).batch(7) for seed in (0, 1)]
    same(again[0], whole)
    assert (again[1]["tokens"] != whole["tokens"]).any()
    assert (259 in whole["tokens"]) == bool(fim)


def test_batches_of_any_size_read_the_same_rows_in_the_same_order(cfg):
    pipeline = TextPipeline(cfg, Bytes(), 32)
    small, large = pipeline.train(2), pipeline.train(6)
    rows = np.concatenate([small.batch(position)["tokens"] for position in range(9)])
    np.testing.assert_array_equal(rows, np.concatenate([large.batch(position)["tokens"] for position in range(3)]))


@pytest.mark.parametrize("tokenizer", [Bytes(), Joined()])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("length", [8, 23, 4000])
def test_an_evaluation_predicts_each_token_once_and_its_bytes_add_up(tmp_path, tokenizer, overlap, length):
    texts = ["abc", "", "défghijklmn" * 9, "o", "七" * 30]
    store = prepare(Texts(*texts), tokenizer, tmp_path)
    once = TextOnce([store], tokenizer, batch_size=4, length=length, overlap=overlap)
    batches = [once.batch(position) for position in range(len(once))]
    all_ = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    counted = all_["targets"][all_["weights"] > 0]
    ends = [tokenizer.end] * len(texts)
    assert sorted(counted) == sorted([*ends, *"".join(texts).encode()])
    total = len("".join(texts).encode())
    np.testing.assert_allclose(all_["bytes"].sum(), total, rtol=1e-5)
    filling = all_["weight"] == 0
    assert len(filling) % 4 == 0 and filling.sum() < 4 and not all_["weights"][filling].any()
    assert not all_["bytes"][filling].any() and all_["bytes"].dtype == all_["weight"].dtype == np.float32
    padding = all_["segments"] == 0
    assert not all_["weights"][padding].any() and (all_["tokens"][padding] == tokenizer.pad).all()
    same(once.batch(0, [2, 1]), {name: array[[2, 1]] for name, array in batches[0].items()})
    with pytest.raises(ValueError, match=f"has {len(once)} batches of 4, asked for {len(once)}"):
        once.batch(len(once))


def test_overlap_gives_every_counted_target_context(tmp_path):
    store = prepare(Texts("".join(map(chr, range(100)))), Bytes(), tmp_path)
    once = TextOnce([store], Bytes(), batch_size=1, length=10, overlap=0.5)
    rows = [{name: array[0] for name, array in once.batch(position).items()} for position in range(len(once))]
    starts = sorted(int(np.flatnonzero(store.tokens == row["tokens"][0])[0]) for row in rows)
    assert starts == list(range(0, 96, 5)) != [int(row["tokens"][0]) for row in rows]  # shuffled
    for row in rows:
        first = row["tokens"][0] == Bytes.start
        assert row["weights"][:5].any() == first


def test_the_bytes_of_a_row_are_its_share_of_each_document(tmp_path):
    store = prepare(Texts("é" * 3, "ab"), Bytes(), tmp_path)  # 7 targets for 6 bytes, 3 for 2
    once = TextOnce([store], Bytes(), batch_size=3, length=4, overlap=0.0)
    batch = once.batch(0)
    by_start = {tuple(row): float(size) for row, size in zip(batch["tokens"].tolist(), batch["bytes"], strict=True)}
    c3, a9 = "é".encode()
    expected = {(257, c3, a9, c3): 4 * 6 / 7, (a9, c3, a9, 258): 3 * 6 / 7, (257, 97, 98, 256): 3 * 2 / 3}
    assert by_start.keys() == expected.keys()
    for row, size in expected.items():
        np.testing.assert_allclose(by_start[row], size, rtol=1e-6)


def test_an_evaluation_shorter_than_a_row_or_a_batch(cfg):
    once = TextPipeline(cfg, Bytes(), 1000).evaluate(8)
    batch = once.batch(0)
    assert len(once) == 1 and batch["weight"].sum() < 8 and batch["tokens"].shape == (8, 1000)


def test_a_mixture_has_its_parts_in_proportion(cfg, tmp_path):
    (tmp_path / "x.txt").write_text("xyz" * 400)
    mixture = {
        "texts": MixturePart(cfg.source, 3.0, cfg.options),
        "x": MixturePart(f"text:{tmp_path}/x.txt", 1.0),
    }
    both = dataclasses.replace(cfg, source="", options={}, mixture=mixture)
    pipeline = TextPipeline(both, Bytes(), 16)
    rows = pipeline.train(1024).batch(5)["tokens"]
    assert sum(ord("y") in row for row in rows.tolist()) == 256
    once = pipeline.evaluate(4)
    bytes_ = sum(once.batch(position)["bytes"].sum() for position in range(len(once)))
    documents = {document.name: document.text for document in text.documents(pipeline.cfg, "test")}
    np.testing.assert_allclose(bytes_, sum(len(content.encode()) for content in documents.values()), rtol=1e-5)
    assert "x: x.txt" in documents and any(name.startswith("texts: ") for name in documents)
    other = {**mixture, "x": dataclasses.replace(mixture["x"], weight=2.0)}
    assert TextPipeline(dataclasses.replace(both, mixture=other), Bytes(), 16).fingerprint != pipeline.fingerprint


def test_tokenizers_by_name(cfg, tmp_path):
    assert isinstance(make_text_tokenizer(cfg), Bytes)
    trained = make_text_tokenizer(dataclasses.replace(cfg, tokenizer="bpe:270"))
    assert trained.vocab_size == 270 and trained.fim
    trained.save(tmp_path / "tokenizer.json")
    loaded = make_text_tokenizer(dataclasses.replace(cfg, tokenizer=str(tmp_path / "tokenizer.json")))
    assert loaded.fingerprint == trained.fingerprint
    for name in ("bpe", "bpe:many"):
        with pytest.raises(ValueError, match="write bpe:SIZE, for example bpe:4096"):
            make_text_tokenizer(dataclasses.replace(cfg, tokenizer=name))


def test_a_config_from_plain_data(cfg, monkeypatch, tmp_path):
    data = {"mixture": {"a": {"source": "stdlib", "weight": 2}}, "fim": "0.5", "cache": "none"}
    built = config.build(TextDataConfig, data, "data")
    assert built.mixture == {"a": MixturePart("stdlib", 2.0)} and built.cache is None
    assert config.build(TextDataConfig, config.to_dict(built), "data") == built
    monkeypatch.setenv("GEN_CACHE", str(tmp_path / "elsewhere"))
    TextPipeline(dataclasses.replace(cfg, cache=None), Bytes(), 8)
    assert list((tmp_path / "elsewhere" / "tokens").iterdir())


def test_texts_split_and_tokenizer_make_the_fingerprint(cfg):
    fewer, other = (
        dataclasses.replace(cfg, options={"test_fraction": 0.2}),
        dataclasses.replace(cfg, train_split="test"),
    )
    pairs = [(cfg, Bytes()), (cfg, Joined()), (fewer, Bytes()), (other, Bytes())]
    prints = [TextPipeline(which, tokenizer, 8).fingerprint for which, tokenizer in pairs]
    assert len(set(prints)) == 4 and prints[0] == TextPipeline(cfg, Bytes(), 16).fingerprint


def test_broken_texts_are_named_whoever_reads_them_first(cfg, tmp_path):
    for i in range(5):
        (tmp_path / "texts" / f"broken{i}.txt").write_bytes(b"\xff")
    for read in (make_text_tokenizer, lambda cfg: TextPipeline(cfg, Bytes(), 8)):
        with pytest.raises(ValueError, match=r"broken\d.txt:1: byte 0 is not UTF-8"):
            read(dataclasses.replace(cfg, tokenizer="bpe:270"))


def test_what_a_corpus_left_out_is_told(cfg, monkeypatch):
    assert TextPipeline(cfg, Bytes(), 8).notes == []
    monkeypatch.setattr(text, "open_corpus", lambda *_, **__: Texts("abcdefghij"))
    assert TextPipeline(cfg, Bytes(), 8).notes == ["texts: 1 damaged documents are left out, first odd: not text"]


@pytest.mark.parametrize(
    ("changes", "length", "message"),
    [
        ({"source": ""}, 8, "neither data.source nor data.mixture is set; set one"),
        ({"mixture": {"a": MixturePart("stdlib", 1.0)}}, 8, "both data.source and data.mixture are set"),
        ({"source": "", "mixture": {"a": MixturePart("stdlib", 1.0)}}, 8, "data.options belong to data.source"),
        ({"fim": 0.5}, 8, "data.fim needs a tokenizer with marks .* set data.tokenizer=bpe:4096 or data.fim=0"),
        ({"fim": 1.5}, 8, "fim=1.5 must be at most 1"),
        ({"overlap": 1.0}, 8, "overlap=1.0 must be below 1"),
        ({}, 1, "a row of 1 tokens"),
        ({}, 10**6, r"text:.*texts \(train\) has \d+ tokens, less than one row of 1000000; lower the model's context"),
        ({"train_split": "validation"}, 8, "no split 'validation'"),
    ],
)
def test_configs_that_cannot_be(cfg, changes, length, message):
    with pytest.raises(ValueError, match=message):
        TextPipeline(dataclasses.replace(cfg, **changes), Bytes(), length)
