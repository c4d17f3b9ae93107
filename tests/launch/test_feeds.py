"""Which tokenizer a run reads with."""

import types

import numpy as np
import pytest

from gen.data.chat import ChatConfig
from gen.tokenizers import Bytes
from launch import feeds

OTHER = types.SimpleNamespace(fingerprint="other")


def run(tokenizer):
    return types.SimpleNamespace(reads_text=tokenizer is not None, tokenizer=lambda: tokenizer)


def config(**upstream):
    return types.SimpleNamespace(data=ChatConfig("instructions", tokenizer="bytes"), upstream=upstream)


def test_a_run_that_trains_another_further_reads_with_its_tokenizer():
    assert feeds.first_tokenizer(config(), {"base": run(OTHER)}) is OTHER
    assert isinstance(feeds.first_tokenizer(config(), {"clip": run(None)}), Bytes)  # which reads no text


def test_what_one_writes_the_other_has_to_read():
    cfg = config(sft="runs/sft", reward="runs/reward")
    assert isinstance(feeds.first_tokenizer(cfg, {"sft": run(Bytes()), "reward": run(Bytes())}), Bytes)
    with pytest.raises(
        ValueError, match=r"upstream\.reward=runs/reward has another tokenizer than upstream\.sft=runs/sft"
    ):
        feeds.first_tokenizer(cfg, {"sft": run(Bytes()), "reward": run(OTHER)})


def test_pictures_that_are_not_finite_end_no_training(tmp_path):
    show = feeds.shower(tmp_path, None, {})
    drawn = np.full((1, 4, 4, 3), np.nan, np.float32)
    assert "no pictures of step 3, as they hold NaN" in show(3, {"drawn": drawn}, {})
    assert not list(tmp_path.glob("*.png"))
    assert show(4, {"drawn": np.zeros_like(drawn)}, {}).endswith("00000004.png")
