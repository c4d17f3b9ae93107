"""Karlo v1 alpha (Lee et al. 2022, github.com/kakaobrain/karlo), an open unCLIP, at its published size.

    python -m launch.train --config=configs/unclip/karlo.py --workdir=runs/karlo --config.data.source=folder:DIR

DIR is a folder with captions.jsonl or captions.csv; there is no data behind the placeholder that stands here. Karlo
took OpenAI's CLIP L/14 as it was; here the clip stage trains one of that size, and --config.runs.clip=DIR takes one
that gen has trained elsewhere. Variants "clip", "prior", "decoder" and "upsampler" give one stage alone, "tiny" the
same stack in small on the built-in digits, two steps a stage.

    stage       parameters                                       steps   sampled in
    prior       1,022,030,080, statistics of embeddings among them  1M   25 steps, guidance 4
    decoder       885,439,686 and 7,878,400 for its condition       1M   25 steps (or 50), guidance 8
    upsampler     691,579,523                                       1M    7 steps

Published for these sizes, on 115 million pairs: MS-COCO FID 15.24 and CLIP score 0.3192, with 25 steps of the decoder.
A picture costs about 98 TFLOP, of which the upsampler takes 60. Karlo does not say on what or for how long it trained.

What differs: batch sizes and optimizers are those of unCLIP's Table 3 (arXiv 2204.06125), as Karlo published none.
Karlo's second upsampler, a copy of the first fine-tuned against a discriminator for the last of the seven steps, is
left out. The decoder reads embeddings scaled to unit variance, Karlo's reads them as CLIP gives them, and a dropped
caption is no token at all, in Karlo an empty text.
"""

from ml_collections import ConfigDict


def transformer(width: int, layers: int, heads: int, **more) -> dict:
    return {"width": width, "layers": layers, "heads": heads, "remat": "full", **more}


CAPTIONED = {"source": "folder:data/captions", "resolution": 224, "tokenizer": "bpe:49408"}
PICTURES = {"source": "folder:data/captions", "resolution": 256, "tokenizer": None}


def clip() -> dict:
    """OpenAI's ViT-L/14 and its recipe, as in configs/clip/openai.py."""
    return {
        "task": {"name": "clip"},
        "model": {
            "embed": 768,
            "image": {
                "resolution": 224,
                "patch": 14,
                "transformer": transformer(1024, 24, 16, activation="quick_gelu"),
            },
            "text": {
                "vocab": 49_408,
                "context": 77,
                "transformer": transformer(768, 12, 12, activation="quick_gelu", causal=True),
            },
            "dtype": "bfloat16",
        },
        "data": {**CAPTIONED, "random_crop": True},
        "optim": {"lr": 4e-4, "warmup": 2000, "weight_decay": 0.2, "b2": 0.98, "eps": 1e-6, "clip": None},
        "train": {"steps": 390_625, "batch_size": 32_768},
    }


def prior() -> dict:
    return {
        "task": {
            "name": "prior",
            "text_drop": 0.2,
            # x0 is bounded by 10 standard deviations in Karlo's own sampler, by 5 in the one of diffusers
            "sampler": {"solver": "ddpm", "steps": 25, "variance": "fixed_small", "guidance_scale": 4.0, "clip": 10.0},
            "candidates": 1,
        },
        "model": {
            "embed": 768,
            "context": 77,
            "states": 768,
            "transformer": transformer(2048, 20, 32, causal=True),
            "dtype": "bfloat16",
        },
        "data": CAPTIONED,
        "optim": {"lr": 1.1e-4, "weight_decay": 0.06, "b2": 0.96, "eps": 1e-6, "ema": 0.9999},
        "train": {"steps": 1_000_000, "batch_size": 4096},
        "upstream": {"clip": "clip"},
    }


def decoder() -> dict:
    return {
        "task": {
            "name": "decoder",
            "image_drop": 0.1,
            "text_drop": 0.3,
            "sampler": {"solver": "ddpm", "steps": 25, "variance": "learned", "guidance_scale": 8.0},
        },
        "model": {
            "embed": 768,
            "tokens": 4,
            "states": 768,
            "unet": {
                "channels": 320,
                "multipliers": (1, 2, 3, 4),
                "blocks": 3,
                "resolution": 64,
                "attention": (32, 16, 8),
                "head_dim": 64,
                "context": 1536,
                "out_channels": 6,
                "dropout": 0.1,
                "dtype": "bfloat16",
            },
        },
        "data": CAPTIONED,
        "optim": {"lr": 1.2e-4, "ema": 0.9999},
        "train": {"steps": 1_000_000, "batch_size": 2048},
        "upstream": {"clip": "clip"},
    }


def upsampler() -> dict:
    return {
        "task": {
            "name": "upsampler",
            "factor": 4,
            "sampler": {"solver": "ddpm", "steps": 7, "variance": "fixed_small"},
        },
        "model": {
            "channels": 320,
            "multipliers": (1, 2, 3, 4),
            "blocks": 3,
            "resolution": 256,
            "middle_attention": False,
            "scale_shift": False,
            "in_channels": 6,
            "dtype": "bfloat16",
        },
        "data": PICTURES,
        "optim": {"lr": 1.2e-4, "ema": 0.9999},
        "train": {"steps": 1_000_000, "batch_size": 1024},
    }


STAGES = {"clip": clip, "prior": prior, "decoder": decoder, "upsampler": upsampler}
VARIANTS = (*STAGES, "tiny")

TOWER = {"width": 16, "layers": 2, "heads": 2}
UNET = {"channels": 16, "multipliers": (1,), "blocks": 1, "groups": 8}
TINY = {
    "stages": {
        "clip": {
            "model": {
                "embed": 16,
                "image": {"resolution": 16, "patch": 4, "transformer": TOWER},
                "text": {"vocab": 160, "context": 20, "transformer": TOWER},
            },
        },
        "prior": {"model": {"embed": 16, "context": 20, "states": 16, "transformer": TOWER}},
        "decoder": {
            "model": {
                "embed": 16,
                "states": 16,
                "unet": {**UNET, "resolution": 8, "attention": (8,), "head_dim": 8, "context": 16},
            },
        },
        "upsampler": {"model": {**UNET, "resolution": 32}},
    },
    "data": {"source": "digits", "resolution": 32, "tokenizer": "bpe:160"},
    "train": {"steps": 2, "batch_size": 8},
}


def get_config(variant: str = "") -> ConfigDict:
    if variant in STAGES:
        return ConfigDict(STAGES[variant]())
    config = ConfigDict({"order": tuple(STAGES), "stages": {name: make() for name, make in STAGES.items()}})
    if variant == "tiny":
        config.update(TINY)
    return config
