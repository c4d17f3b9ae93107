"""DALL-E 2 at the size of its paper (Ramesh et al. 2022, arXiv 2204.06125, Table 3): from a caption to 1024 x 1024.

    python -m launch.train --config=configs/unclip/dalle2.py --workdir=runs/dalle2 --config.data.source=folder:DIR

DIR is a folder with captions.jsonl or captions.csv; there is no data behind the placeholder that stands here. Variants
"clip", "prior", "decoder", "up256" and "up1024" give one stage alone, "tiny" the same stack in small on the built-in
digits, two steps a stage.

    stage      parameters here   in the paper                        batch x steps
    clip           986,523,137   H/16 at 256, size not given      32,768 x 390,625
    prior        1,325,014,016   1B                                4,096 x 600,000
    decoder      3,567,892,998   3.5B                              2,048 x 800,000
    up256          729,702,083   700M                              1,024 x 1M
    up1024         282,059,139   300M                                512 x 1M

The prior is larger than the paper says: 24 layers of width 2048 alone are 1.21 billion, the caption's 49,408 tokens
0.10 more. The second upsampler is 6 % smaller; the table does not say what else it has.

Published for these sizes: MS-COCO zero-shot FID 10.39, decoder guidance 1.25. The cost is not published.

What differs: one row of 256 tokens serves CLIP, prior and decoder, where OpenAI's models have vocabularies of their own
and CLIP probably a context of 77. CLIP is trained without SAM, on the captions of the other stages. Where the table is
silent (schedule of the learning rate, clipping of gradients) gen's defaults stand.
"""

from ml_collections import ConfigDict

VOCAB, CONTEXT, EMBED = 49_408, 256, 1024


def transformer(width: int, layers: int, heads: int, **more) -> dict:
    return {"width": width, "layers": layers, "heads": heads, "remat": "full", **more}


def data(resolution: int, **more) -> dict:
    return {"source": "folder:data/captions", "resolution": resolution, "tokenizer": f"bpe:{VOCAB}", **more}


def clip() -> dict:
    """The recipe of CLIP (configs/clip/openai.py) at unCLIP's size and learning rate."""
    return {
        "task": {"name": "clip"},
        "model": {
            "embed": EMBED,
            "image": {
                "resolution": 256,
                "patch": 16,
                "transformer": transformer(1280, 32, 16, activation="quick_gelu"),
            },
            "text": {
                "vocab": VOCAB,
                "context": CONTEXT,
                "transformer": transformer(1024, 24, 16, activation="quick_gelu", causal=True),
            },
            "dtype": "bfloat16",
        },
        "data": data(256, random_crop=True),
        "optim": {"lr": 3e-4, "warmup": 2000, "weight_decay": 0.2, "b2": 0.98, "eps": 1e-6, "clip": None},
        "train": {"steps": 390_625, "batch_size": 32_768},
    }


def prior() -> dict:
    return {
        "task": {
            "name": "prior",
            "scale": 17.2,
            "text_drop": 0.1,
            "sampler": {"solver": "ddpm", "steps": 64, "variance": "analytic", "clip": None},
            "candidates": 2,
        },
        "model": {
            "embed": EMBED,
            "context": CONTEXT,
            "vocab": VOCAB,
            "transformer": transformer(2048, 24, 32, causal=True),
            "dtype": "bfloat16",
        },
        "data": data(256),
        "optim": {"lr": 1.1e-4, "weight_decay": 0.06, "b2": 0.96, "eps": 1e-6, "ema": 0.9999},
        "train": {"steps": 600_000, "batch_size": 4096},
        "upstream": {"clip": "clip"},
    }


def decoder() -> dict:
    return {
        "task": {
            "name": "decoder",
            "image_drop": 0.1,
            "text_drop": 0.5,
            "sampler": {"solver": "ddpm", "steps": 250, "variance": "learned", "guidance_scale": 1.25},
        },
        "model": {
            "embed": EMBED,
            "tokens": 4,
            "unet": {
                "channels": 512,
                "multipliers": (1, 2, 3, 4),
                "blocks": 3,
                "resolution": 64,
                "attention": (32, 16, 8),
                "head_dim": 64,
                "context": 2048,
                "out_channels": 6,
                "dropout": 0.1,
                "dtype": "bfloat16",
            },
            "caption": {"vocab": VOCAB, "context": CONTEXT, "transformer": transformer(2048, 24, 32)},
        },
        "data": data(256),
        "optim": {"lr": 1.2e-4, "ema": 0.9999},
        "train": {"steps": 800_000, "batch_size": 2048},
        "upstream": {"clip": "clip"},
    }


def up256() -> dict:
    return {
        "task": {
            "name": "upsampler",
            "factor": 4,
            "crop": 0.25,
            "corrupt": "blur",
            "sampler": {"solver": "ddim", "steps": 27},
        },
        "model": {
            "channels": 320,
            "multipliers": (1, 2, 3, 4),
            "blocks": 3,
            "resolution": 256,
            "middle_attention": False,
            "in_channels": 6,
            "dropout": 0.1,
            "dtype": "bfloat16",
        },
        "data": data(256, tokenizer=None),
        "optim": {"lr": 1.2e-4, "ema": 0.9999},
        "train": {"steps": 1_000_000, "batch_size": 1024},
    }


def up1024() -> dict:
    return {
        "task": {
            "name": "upsampler",
            "factor": 4,
            "crop": 0.25,
            "corrupt": "bsr",
            "process": {"schedule": "linear", "steps": 1000, "predicts": "eps"},
            "sampler": {"solver": "ddim", "steps": 15},
        },
        "model": {
            "channels": 192,
            "multipliers": (1, 1, 2, 2, 4, 4),
            "blocks": 2,
            "resolution": 1024,
            "middle_attention": False,
            "in_channels": 6,
            "dtype": "bfloat16",
        },
        "data": data(1024, tokenizer=None),
        "optim": {"lr": 1e-4, "ema": 0.9999},
        "train": {"steps": 1_000_000, "batch_size": 512},
    }


STAGES = {"clip": clip, "prior": prior, "decoder": decoder, "up256": up256, "up1024": up1024}
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
        "prior": {"model": {"embed": 16, "context": 20, "vocab": 160, "transformer": TOWER}},
        "decoder": {
            "model": {
                "embed": 16,
                "unet": {**UNET, "resolution": 8, "attention": (8,), "head_dim": 8, "context": 16},
                "caption": {"vocab": 160, "context": 20, "transformer": TOWER},
            },
        },
        "up256": {"model": {**UNET, "resolution": 32}},
        "up1024": {"model": {**UNET, "resolution": 64}},
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
