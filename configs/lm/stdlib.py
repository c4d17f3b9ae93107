"""A small code model on real code: the source of the Python standard library, which is on every machine.

python -m launch.train    --config=configs/lm/stdlib.py --workdir=runs/stdlib
python -m launch.sample   --workdir=runs/stdlib --prompt="def main(" --num=2
python -m launch.evaluate --workdir=runs/stdlib
"""

from ml_collections import ConfigDict

VARIANTS = ("tiny",)

TINY = {
    "model": {"vocab": 259, "context": 32, "transformer": {"width": 32, "layers": 2, "heads": 2}},
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
                "vocab": 2048,
                "context": 256,
                "transformer": {
                    "width": 256,
                    "layers": 6,
                    "heads": 4,
                    "mlp": 704,
                    "activation": "silu",
                    "gated": True,
                    "norm": "rms",
                    "attention_bias": False,
                    "mlp_bias": False,
                    "rotary": {"theta": 10_000.0},
                    "causal": True,
                    "stddev": 0.02,
                },
            },
            "data": {"source": "stdlib", "tokenizer": "bpe:2048", "overlap": 0.5},
            "optim": {"lr": 3e-3, "warmup": 50, "final": 0.05, "b2": 0.98, "weight_decay": 0.1},
            "train": {"steps": 1000, "batch_size": 16},
            "checkpoint": {"every": 500, "keep": 2},
            "evals": {"every": 500, "batches": 8, "samples": 4},
        }
    )
    if variant == "tiny":
        config.update(TINY)
    return config
