"""What launch.data shows is the batch that training reads."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from gen.data.pipeline import DataConfig, Pipeline, make_tokenizer
from launch import data, sheet

CLIP = "configs/unclip/digits.py:clip"
SMALL = [("train.batch_size", "6")]
DRAW = sheet.draw


def show(tmp_path, config, overrides=(), step=1000):
    args = SimpleNamespace(config=config, step=step, out=str(tmp_path / "grid.png"))
    assert data.main(args, [*SMALL, *overrides]) == 0
    return np.asarray(Image.open(args.out))


def test_the_batch_of_a_step_with_rows_and_decoded_captions(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(sheet, "draw", lambda *batch: (drawn.append(batch), DRAW(*batch))[1])
    show(tmp_path, CLIP)
    ((image_BYXC, texts),) = drawn

    cfg = DataConfig("digits", 16, tokenizer="bpe:160")
    loader = Pipeline(cfg, make_tokenizer(cfg), 20).train(6)
    np.testing.assert_array_equal(image_BYXC, loader.batch(1000)["image"])
    for row, record in enumerate(loader.records(1000)):
        item = loader.source[record]
        assert texts[row] in [f"{row}  {caption}" for caption in item["caption"]]


def test_another_step_or_data_seed_is_another_batch(tmp_path):
    pictures = [show(tmp_path, CLIP), show(tmp_path, CLIP, step=1001), show(tmp_path, CLIP, [("data.seed", "1")])]
    tops = {picture[:100].tobytes() for picture in pictures}
    assert len(tops) == 3


def test_a_stage_without_captions_shows_rows_alone(tmp_path):
    assert show(tmp_path, "configs/unclip/digits.py:upsampler").shape[2] == 3


def test_a_stack_is_asked_for_a_stage(tmp_path):
    with pytest.raises(ValueError, match="each stage has its own batches: say --config=configs/unclip/digits.py:clip"):
        show(tmp_path, "configs/unclip/digits.py")


def test_a_stage_whose_upstream_is_not_trained_is_told_so(tmp_path):
    with pytest.raises(ValueError, match="nowhere is not the directory of a run .*; train it first"):
        show(tmp_path, "configs/unclip/digits.py:prior", [("upstream.clip", "nowhere")])
