"""A small code model on real code: the source of the Python standard library, which is on every machine.

    python -m launch.train    --config=configs/lm/stdlib.py --workdir=runs/stdlib
    python -m launch.sample   --workdir=runs/stdlib --prompt="def main(" --num=2
    python -m launch.evaluate --workdir=runs/stdlib --also=compression
    python -m launch.sweep    --config=configs/lm/stdlib.py:tiny --workdir=runs/sweep --config.train.steps=600 --pack

Python 3.12's library without its tests, split by file: 9.4 MB to train on, 1.1 MB held out. 3,000,384 parameters see
2.3 million tokens, not quite one epoch, in 19 minutes on two CPU cores. Bits per byte of the held-out files in one run:

    gzip -9     xz -9e     this model     xz -9e, told the training text before
      1.914      1.592          1.574                                     1.322

Variant gpu is a larger model, trained for forty epochs, which aims below the last; it has not been run. Variant tiny
takes two steps; its sweep, 24 trials of 600 steps as two programs, takes a minute.
"""

from ml_collections import ConfigDict

from gen.sweep.space import over, product

VARIANTS = ("gpu", "tiny")

# Forty epochs of the corpus: dropout and decay keep the larger model from learning it by heart.
GPU = {
    "model": {
        "context": 1024,
        "transformer": {"width": 512, "layers": 8, "heads": 8, "mlp": 1408, "dropout": 0.2},
        "dtype": "bfloat16",
    },
    "optim": {"lr": 3e-3, "warmup": 300},
    "train": {"steps": 6000, "batch_size": 16},
    "checkpoint": {"every": 2000},
    "evals": {"every": 1000},
}

TINY = {
    "model": {"vocab": 259, "context": 32, "transformer": {"width": 32, "layers": 2, "heads": 2, "mlp": 64}},
    "data": {"tokenizer": "bytes"},
    "optim": {"warmup": 0},
    "train": {"steps": 2, "batch_size": 8},
    "task": {"prompt": 8},
}


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict(
        {
            "task": {"name": "lm", "prompt": 32},
            "model": {
                "vocab": 4096,
                "context": 512,
                "transformer": {
                    "width": 192,
                    "layers": 5,
                    "heads": 3,
                    "mlp": 512,
                    "activation": "silu",
                    "gated": True,
                    "norm": "rms",
                    "attention_bias": False,
                    "mlp_bias": False,
                    "rotary": {"theta": 10_000.0},
                    "causal": True,
                    "dropout": 0.0,
                    "stddev": 0.02,
                },
                "dtype": "float32",
            },
            "data": {"source": "stdlib", "tokenizer": "bpe:4096", "overlap": 0.5},
            "optim": {"name": "muon", "lr": 5e-3, "warmup": 50, "final": 0.02, "b2": 0.98, "weight_decay": 0.1},
            "train": {"steps": 1100, "batch_size": 4},
            "checkpoint": {"every": 500, "keep": 2},
            "evals": {"every": 1100, "batches": 20, "samples": 4},
        }
    )
    if variant:
        config.update({"gpu": GPU, "tiny": TINY}[variant])
    return config


def sweep():
    """Learning rate by width by seed, 24 trials, for variant tiny."""
    return product(
        over("optim.lr", 1e-3, 3e-3, 1e-2, 3e-2),
        over("model.transformer.width", 32, 64),
        over("seed", 0, 1, 2),
    )
