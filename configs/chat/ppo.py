"""PPO against a reward model as InstructGPT's, with pretraining text beside it (Ouyang et al. 2022, arXiv 2203.02155,
appendix C.4: PPO-ptx).

    python -m launch.train --config=configs/chat/ppo.py --workdir=runs/ppo --config.upstream.sft=runs/sft \\
        --config.upstream.reward=runs/reward --config.data.source=chat:chats.jsonl \\
        --config.data.pretrain.source=text:corpus

Prompts are all that comes before a conversation's last answer, in the template of upstream.sft; prompts:FILE has such
as nobody has answered.

The paper's: 256,000 answers to 31,000 prompts, 512 at a time in 8 minibatches, one epoch of each; KL coefficient 0.02,
clip 0.2, no discount, weights averaged with 0.992, constant learning rates after a warm-up of 10 batches, 9e-6 for the
value model; answers at temperature 1 of at most 1,000 tokens; eight rows of pretraining text for each answer, weighed
27.8. It prints neither lambda, here 0.95, nor the final learning rate of the policies, here 5e-6, which lies within
what it searched (2.55e-6 to 2.55e-5, the larger ones diverging without the text). Variant tiny takes two steps.
"""

from ml_collections import ConfigDict

VARIANTS = ("tiny",)
BASE = "configs/lm/gpt3.py"  # what upstream.sft and upstream.reward hold in the tests

TINY = {
    "model": {"context": 96},
    "task": {"rollout": {"new": 20}, "minibatches": 2},
    "data": {"options": {"count": 64, "held_out": 8}, "pretrain_rows": 1},
    "train": {"steps": 2, "batch_size": 8, "accumulate": 1},
}


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict(
        {
            "task": {"name": "ppo", "rollout": {"new": 1000}, "minibatches": 8, "kl": 0.02, "pretrain": 27.8},
            "model": {},
            "data": {"source": "instructions", "options": {}, "pretrain": {"source": "stdlib"}, "pretrain_rows": 8},
            "optim": {
                "lr": 5e-6,
                "schedule": "constant",
                "warmup": 80,
                "b2": 0.95,
                "ema": 0.992,
                "players": {"value": {"lr": 9e-6, "ema": None}},
            },
            "train": {"steps": 500, "batch_size": 512, "accumulate": 8},
            "checkpoint": {"every": 50},
            "evals": {"every": 50, "samples": 8},
        }
    )
    if variant == "tiny":
        config.update(TINY)
    return config
