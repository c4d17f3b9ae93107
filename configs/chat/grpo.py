"""Group relative policy optimisation as DeepSeekMath's (Shao et al. 2024, arXiv 2402.03300): PPO without a value model.

    python -m launch.train --config=configs/chat/grpo.py --workdir=runs/grpo --config.upstream.sft=runs/sft

The reward is 1 for a right answer, the last of each conversation (`data.source`, here the built-in instructions); with
--config.task.reward=model --config.upstream.reward=runs/reward it is a reward model's. The paper's: 64 answers to each
of 16 prompts, of at most 1,024 tokens, one update of each batch, KL coefficient 0.04, 1e-6. Variant tiny takes two
steps.
"""

from ml_collections import ConfigDict

VARIANTS = ("tiny",)
BASE = "configs/lm/gpt3.py"  # what upstream.sft holds in the tests

TINY = {
    "model": {"context": 96},
    "task": {"rollout": {"new": 20}, "group": 2},
    "data": {"options": {"count": 64, "held_out": 8}},
    "train": {"steps": 2, "batch_size": 8, "accumulate": 1},
}


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict(
        {
            "task": {"name": "grpo", "rollout": {"new": 1024}, "reward": "answer", "group": 64, "kl": 0.04},
            "model": {},
            "data": {"source": "instructions", "options": {}},
            "optim": {"lr": 1e-6, "schedule": "constant", "b2": 0.95},
            "train": {"steps": 1000, "batch_size": 16, "accumulate": 8},
            "checkpoint": {"every": 100},
            "evals": {"every": 100, "samples": 8},
        }
    )
    if variant == "tiny":
        config.update(TINY)
    return config
