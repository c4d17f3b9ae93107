"""Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290): ranked answers without a reward model.

    python -m launch.train --config=configs/chat/dpo.py --workdir=runs/dpo --config.upstream.sft=runs/sft \\
        --config.data.source=preferences:runs/sft/ratings.jsonl

The data is that of configs/chat/reward.py. The paper's: beta 0.1, 64 pairs at a
time, 1e-6 after a warm-up of 150 steps (with RMSprop, here AdamW). Variant tiny takes two steps.
"""

from ml_collections import ConfigDict

VARIANTS = ("tiny",)
BASE = "configs/lm/gpt3.py"  # what upstream.sft holds in the tests

TINY = {"model": {"context": 96}, "optim": {"warmup": 0}, "train": {"steps": 2, "batch_size": 8}}


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict(
        {
            "task": {"name": "dpo", "answers": 2, "beta": 0.1},
            "model": {},
            "data": {"source": "instructions"},
            "optim": {"lr": 1e-6, "schedule": "constant", "warmup": 150, "b2": 0.95},
            "train": {"steps": 1000, "batch_size": 64},
            "checkpoint": {"every": 200},
            "evals": {"every": 200, "samples": 0},
        }
    )
    if variant == "tiny":
        config.update(TINY)
    return config
