"""DALL-E 2 (Ramesh et al. 2022, arXiv 2204.06125) in small: handwritten digits in coloured ink, from their captions.

    python -m launch.train  --config=configs/unclip/digits.py --workdir=runs/digits
    python -m launch.sample --workdir=runs/digits --prompt="a handwritten seven in red ink on yellow paper"

Four stages: CLIP, the diffusion prior, the decoder at 16 x 16 and the upsampler to 32 x 32. Variants "clip", "prior",
"decoder" and "upsampler" give one stage alone; the prior and the decoder then need --config.upstream.clip=DIR.

On two CPU cores the stack takes about 13 minutes: 350 steps of CLIP, 400 of the prior, 400 of the decoder (half of the
time) and 400 of the upsampler. Of 240 pictures for held-out combinations of digit, ink and paper, 0.996 show all three
(`make demo`); with the text embedding in place of the prior's, 0.979; of real scans the judge recognises 0.993.

Your own captioned pictures: --config.data.source=folder:DIR (a folder with captions.jsonl), for the stack or a stage.
"""

from ml_collections import ConfigDict


def transformer(width: int, layers: int, heads: int, **more) -> dict:
    return {"width": width, "layers": layers, "heads": heads, **more}


CONTEXT, VOCAB, EMBED = 20, 160, 64
DATA = {"source": "digits", "resolution": 16, "tokenizer": f"bpe:{VOCAB}"}
CHECKPOINT = {"every": 250, "keep": 2}


def clip() -> dict:
    return {
        "task": {"name": "clip"},
        "model": {
            "embed": EMBED,
            "image": {"resolution": 16, "patch": 4, "transformer": transformer(64, 3, 4, activation="quick_gelu")},
            "text": {
                "vocab": VOCAB,
                "context": CONTEXT,
                "transformer": transformer(64, 2, 4, activation="quick_gelu", causal=True),
            },
        },
        "data": DATA,
        "optim": {"lr": 2e-3, "warmup": 50, "weight_decay": 0.1, "b2": 0.98, "ema": 0.99},
        "train": {"steps": 350, "batch_size": 128},
        "evals": {"every": 175, "batches": 4},
        "checkpoint": CHECKPOINT,
    }


def prior() -> dict:
    return {
        "task": {
            "name": "prior",
            "sampler": {"solver": "ddpm", "steps": 32, "variance": "analytic", "guidance_scale": 1.0, "clip": None},
        },
        "model": {
            "embed": EMBED,
            "context": CONTEXT,
            "states": 64,
            "transformer": transformer(96, 3, 4, causal=True),
        },
        "data": DATA,
        "optim": {"lr": 1e-3, "warmup": 50, "weight_decay": 0.06, "b2": 0.96, "eps": 1e-6, "ema": 0.995},
        "train": {"steps": 400, "batch_size": 128},
        "evals": {"every": 200, "batches": 4},
        "checkpoint": CHECKPOINT,
        "upstream": {"clip": "clip"},
    }


def decoder() -> dict:
    return {
        "task": {
            "name": "decoder",
            # not eps as in the paper: in few steps of training, colours come out wrong (docs/log.md)
            "process": {"schedule": "cosine", "steps": 1000, "predicts": "v"},
            "sampler": {"solver": "ddim", "steps": 15, "guidance_scale": 1.5},
        },
        "model": {
            "embed": EMBED,
            "tokens": 4,
            "unet": {
                "channels": 32,
                "multipliers": (1, 2, 2),
                "blocks": 1,
                "resolution": 16,
                "attention": (4,),
                "head_dim": 32,
                "context": 64,
                "groups": 8,
                "out_channels": 6,
            },
            "caption": {"vocab": VOCAB, "context": CONTEXT, "transformer": transformer(64, 1, 4)},
        },
        "data": DATA,
        "optim": {"lr": 2e-3, "warmup": 50, "ema": 0.995},
        "train": {"steps": 400, "batch_size": 64},
        "evals": {"every": 200, "batches": 4, "samples": 8},
        "checkpoint": CHECKPOINT,
        "upstream": {"clip": "clip"},
    }


def upsampler() -> dict:
    return {
        "task": {
            "name": "upsampler",
            "factor": 2,
            "crop": 0.5,
            # the small picture says nearly all of it, so that x0 is the easiest to predict (docs/log.md)
            "process": {"schedule": "cosine", "steps": 1000, "predicts": "x0"},
            "sampler": {"solver": "ddim", "steps": 8},
        },
        "model": {
            "channels": 16,
            "multipliers": (1, 2),
            "blocks": 1,
            "resolution": 32,
            "middle_attention": False,
            "groups": 8,
            "in_channels": 6,
        },
        "data": {**DATA, "resolution": 32, "tokenizer": None},
        "optim": {"lr": 2e-3, "warmup": 50, "ema": 0.99},
        "train": {"steps": 400, "batch_size": 32},
        "evals": {"every": 200, "batches": 4, "samples": 8},
        "checkpoint": CHECKPOINT,
    }


STAGES = {"clip": clip, "prior": prior, "decoder": decoder, "upsampler": upsampler}
VARIANTS = (*STAGES, "tiny")

# As small as it gets, to try the machinery: the whole stack in a minute, and pictures of nothing.
TOWER = {"width": 8, "layers": 1, "heads": 2}
UNET = {"channels": 4, "multipliers": (1,), "groups": 2}
QUICK = {"sampler": {"steps": 2}}
TINY = {
    "stages": {
        "clip": {"model": {"embed": 8, "image": {"transformer": TOWER}, "text": {"transformer": TOWER}}},
        "prior": {"model": {"embed": 8, "states": 8, "transformer": TOWER}, "task": QUICK},
        "decoder": {
            "model": {
                "embed": 8,
                "unet": {**UNET, "multipliers": (1, 1), "attention": (8,), "head_dim": 4, "context": 8},
                "caption": {"transformer": TOWER},
            },
            "task": QUICK,
        },
        "upsampler": {"model": UNET, "task": QUICK},
    },
    "train": {"steps": 2, "batch_size": 8},
    "evals": {"every": 2, "batches": 1, "samples": 2},
}


def get_config(variant: str = "") -> ConfigDict:
    if variant in STAGES:
        return ConfigDict(STAGES[variant]())
    config = ConfigDict({"order": tuple(STAGES), "stages": {name: make() for name, make in STAGES.items()}})
    if variant == "tiny":
        config.update(TINY)
    return config
