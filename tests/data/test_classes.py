"""Rows of labelled texts: framed, cut at the end with a word about it, labels by number."""

import dataclasses

import numpy as np
import pytest

from gen.data.classes import ClassifyDataConfig, LabelledPipeline
from gen.data.labelled import open_labelled
from gen.tokenizers import Bytes, fit
from tests.data.test_conversations import write


@pytest.fixture
def cfg(tmp_path):
    lines = [{"text": f"text {i} " + "x" * (i % 7), "label": ("pear", "apple", "fig")[i % 3]} for i in range(60)]
    return ClassifyDataConfig(f"labelled:{write(tmp_path / 'a.jsonl', *lines)}", {"test_fraction": 0.3})


@pytest.mark.parametrize("length", [40, 12])
@pytest.mark.parametrize("split", ["train", "test"])
def test_rows_are_texts_with_the_numbers_of_their_labels(cfg, split, length):
    pipeline = LabelledPipeline(cfg, Bytes(), length)
    texts = open_labelled(cfg.source, split, **cfg.options)
    loader = pipeline.train(1) if split == "train" else pipeline.evaluate(1)
    batches = [loader.batch(position) for position in range(len(texts))]
    assert pipeline.labels == ("apple", "fig", "pear")
    assert {(batch[name].shape, batch[name].dtype) for batch in batches for name in ("length", "label")} == {
        ((1,), np.dtype(np.int32))
    }
    found = [(b["tokens"][0].tolist(), int(b["length"][0]), pipeline.labels[b["label"][0]]) for b in batches]
    framed = [(fit(Bytes(), text, length), label) for _, text, label in texts]
    assert sorted(found) == sorted((f.tokens_T.tolist(), f.length, label) for f, label in framed)
    assert all(tokens[size - 1] == Bytes.end for tokens, size, _ in found)
    cut = [(i, f) for i, (f, _) in enumerate(framed) if f.cut]
    which = "" if split == "train" else "held-out "
    told = [note for note in pipeline.notes if f"{which}texts" in note]
    assert bool(cut) == bool(told) == (length == 12)
    if cut:
        first = texts[cut[0][0]]
        assert told == [
            f"{len(cut)} of {len(texts)} {which}texts are longer than the model's context of 12 tokens and cut at the "
            f"end, the first {first.name} with {len(first.text) + 2}"
        ]


def test_fingerprints_and_refusals(cfg):
    def fingerprint(length=40, **fields):
        return LabelledPipeline(dataclasses.replace(cfg, **fields), Bytes(), length).fingerprint

    prints = [fingerprint(), fingerprint(41), fingerprint(seed=1), fingerprint(options={"test_fraction": 0.2})]
    assert len(set(prints)) == len(prints) and fingerprint() == prints[0]
    with pytest.raises(ValueError, match="a row of 2 tokens cannot hold start, text and end"):
        LabelledPipeline(cfg, Bytes(), 2)
