"""Which tokenizer a run reads with, and what a person is told of its data."""

import re
import types

import numpy as np
import pytest

from gen.data.chat import ChatDataConfig
from gen.data.pipeline import ImageDataConfig
from gen.data.source import CorruptRecord
from gen.models.clip import CLIPConfig, CLIPTextConfig, VisionConfig
from gen.nn.transformer import TransformerConfig
from gen.runs import image_inputs, inputs, shown_samples
from gen.tokenizers import Bytes

OTHER = types.SimpleNamespace(fingerprint="other")


def run(tokenizer):
    return types.SimpleNamespace(reads_text=tokenizer is not None, tokenizer=lambda: tokenizer)


def config(**upstream):
    data, task = ChatDataConfig("instructions", tokenizer="bytes"), types.SimpleNamespace(name="chat")
    return types.SimpleNamespace(task=task, data=data, upstream=upstream)


def test_a_run_that_trains_another_further_reads_with_its_tokenizer():
    assert inputs.first_tokenizer(config(), {"base": run(OTHER)}) is OTHER
    assert isinstance(inputs.first_tokenizer(config(), {"clip": run(None)}), Bytes)  # which reads no text


def test_what_one_writes_the_other_has_to_read():
    cfg = config(sft="runs/sft", reward="runs/reward")
    assert isinstance(inputs.first_tokenizer(cfg, {"sft": run(Bytes()), "reward": run(Bytes())}), Bytes)
    with pytest.raises(
        ValueError, match=r"upstream\.reward=runs/reward has another tokenizer than upstream\.sft=runs/sft"
    ):
        inputs.first_tokenizer(cfg, {"sft": run(Bytes()), "reward": run(OTHER)})


def test_pictures_that_are_not_finite_end_no_training(tmp_path):
    show = shown_samples.shower(tmp_path, None, {})
    drawn = np.full((1, 4, 4, 3), np.nan, np.float32)
    assert "no pictures of step 3, as they hold NaN" in show(3, {"drawn": drawn}, {})
    assert not list(tmp_path.glob("*.png"))
    assert show(4, {"drawn": np.zeros_like(drawn)}, {}).endswith("00000004.png")


class Pictures:
    """Pictures of some sizes, of which one is damaged."""

    def __init__(self, *sizes):
        self.sizes = sizes

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        if self.sizes[index] == 0:
            raise CorruptRecord("it is none")
        return {"image": np.zeros((self.sizes[index], 99, 3), np.uint8), "name": f"{index}.png"}


@pytest.mark.parametrize(
    ("resolution", "sizes", "said"),
    [
        (32, (32, 0, 64), ""),
        (32, (32, 16, 8), "2 of the first pictures are smaller than data.resolution=32 .*, as 1.png of 99 x 16 pixels"),
        (16, (16, 16), "data.resolution=16 is smaller than model.image.resolution=32: pictures are enlarged"),
    ],
)
def test_pictures_that_have_to_be_enlarged_are_noted(resolution, sizes, said):
    tower = TransformerConfig(8, 1, 2)
    model = CLIPConfig(8, VisionConfig(32, 4, tower), CLIPTextConfig(9, 4, tower))
    data = ImageDataConfig("folder:x", resolution)
    pipeline = types.SimpleNamespace(cfg=data, source=Pictures(*sizes))
    assert re.match(said or "$", image_inputs.enlarged(types.SimpleNamespace(model=model), pipeline))
