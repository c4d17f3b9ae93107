"""CLIP at its published sizes (Radford et al. 2021, arXiv 2103.00020), each trained from nothing by the paper's recipe.

    python -m launch.train --config=configs/clip/openai.py:l14 --workdir=runs/l14 --config.data.source=folder:DIR

DIR is a folder with captions.jsonl or captions.csv; there is no data behind the placeholder that stands here.

    variant   image tower      parameters    ImageNet zero-shot top-1 of the published weights
    b32       B/32 at 224     151,277,313    63.3 %
    b16       B/16 at 224     149,620,737    68.3 %
    l14       L/14 at 224     427,616,513    75.5 %
    l14_336   L/14 at 336     427,944,193    76.6 %
    h14       H/14 at 224     986,109,441    78.0 %, OpenCLIP on LAION-2B (arXiv 2212.07143)
    h16_256   H/16 at 256     986,339,841    the CLIP of unCLIP (arXiv 2204.06125); no number is published
    tiny      digits at 16                   two steps on the built-in digits, to try the recipe

Cost: 32 epochs of 400 million pairs. OpenAI gives 12 days on 256 V100 for l14, OpenCLIP 4,600 A100 hours for b32.

What differs: pixels are scaled to [-1, 1] rather than by the mean and deviation of each channel, and the vocabulary is
learned from the captions at hand (--config.data.tokenizer=FILE takes a tokenizer.json, such as CLIP's own). OpenAI made
l14_336 by one more epoch of l14 at a learning rate of 2e-5, unCLIP trained h16_256 with SAM (rho 0.1) on 650 million
pairs, and OpenCLIP h14 with larger batches; here each has the recipe of its neighbours.
"""

from typing import NamedTuple

from ml_collections import ConfigDict


class Tower(NamedTuple):
    width: int
    layers: int
    heads: int


class Size(NamedTuple):
    """`resolution` and `patch` in pixels, `lr` the peak learning rate."""

    embed: int
    resolution: int
    patch: int
    image: Tower
    text: Tower
    lr: float
    activation: str = "quick_gelu"


SIZES = {
    "b32": Size(512, 224, 32, Tower(768, 12, 12), Tower(512, 12, 8), 5e-4),
    "b16": Size(512, 224, 16, Tower(768, 12, 12), Tower(512, 12, 8), 5e-4),
    "l14": Size(768, 224, 14, Tower(1024, 24, 16), Tower(768, 12, 12), 4e-4),
    "l14_336": Size(768, 336, 14, Tower(1024, 24, 16), Tower(768, 12, 12), 4e-4),
    # OpenCLIP's large models have the plain GELU; with the quick one their weights give other embeddings
    "h14": Size(1024, 224, 14, Tower(1280, 32, 16), Tower(1024, 24, 16), 5e-4, activation="gelu"),
    "h16_256": Size(1024, 256, 16, Tower(1280, 32, 16), Tower(1024, 24, 16), 3e-4),
}
VARIANTS = (*SIZES, "tiny")

BATCH = 32_768
STEPS = 32 * 400_000_000 // BATCH

TINY = {
    "model": {"text": {"vocab": 160, "context": 20}},
    "data": {"source": "digits", "tokenizer": "bpe:160"},
    "train": {"steps": 2, "batch_size": 32},
}


def clip(size: Size) -> ConfigDict:
    def transformer(tower: Tower, **more) -> dict:
        return {**tower._asdict(), "activation": size.activation, "remat": "full", **more}

    return ConfigDict(
        {
            "task": {"name": "clip"},
            "model": {
                "embed": size.embed,
                "image": {
                    "resolution": size.resolution,
                    "patch": size.patch,
                    "transformer": transformer(size.image),
                },
                "text": {"vocab": 49_408, "context": 77, "transformer": transformer(size.text, causal=True)},
                "dtype": "bfloat16",
            },
            "data": {
                "source": "folder:data/captions",
                "resolution": size.resolution,
                "random_crop": True,
                "tokenizer": "bpe:49408",
            },
            "optim": {"lr": size.lr, "warmup": 2000, "weight_decay": 0.2, "b2": 0.98, "eps": 1e-6, "clip": None},
            "train": {"steps": STEPS, "batch_size": BATCH},
            "checkpoint": {"every": 5000},
            "evals": {"every": 5000, "batches": 1},
        }
    )


def get_config(variant: str = "b32") -> ConfigDict:
    if variant != "tiny":
        return clip(SIZES[variant])
    config = clip(Size(16, 16, 4, Tower(16, 2, 2), Tower(16, 2, 2), 1e-3))
    config.update(TINY)
    return config
