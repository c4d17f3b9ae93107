"""A small code model on real code: the source of the Python standard library, which is on every machine.

python -m launch.train    --config=configs/lm/stdlib.py --workdir=runs/stdlib
python -m launch.sample   --workdir=runs/stdlib --prompt="def main(" --num=2
python -m launch.evaluate --workdir=runs/stdlib
"""

from ml_collections import ConfigDict

VARIANTS = ("tiny",)

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
                    "stddev": 0.02,
                },
            },
            "data": {"source": "stdlib", "tokenizer": "bpe:4096", "overlap": 0.5},
            "optim": {"name": "muon", "lr": 5e-3, "warmup": 50, "final": 0.02, "b2": 0.98, "weight_decay": 0.1},
            "train": {"steps": 1100, "batch_size": 4},
            "checkpoint": {"every": 500, "keep": 2},
            "evals": {"every": 1100, "batches": 20, "samples": 4},
        }
    )
    if variant == "tiny":
        config.update(TINY)
    return config
