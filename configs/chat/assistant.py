r"""From a language model to an assistant in InstructGPT's three steps (Ouyang et al. 2022, arXiv 2203.02155), in small.

    python -m launch.assistant --workdir=runs/assistant                     # all, for three seeds, and the table
    python -m launch.train     --config=configs/chat/assistant.py --workdir=runs/one --config.seed=7 \
        --config.data.seed=7
    python -m launch.chat      --workdir=runs/assistant/seed0/ppo

Stages: base, a model of 0.9 million parameters, of bytes, pretrained on solved instructions as from the wild, with
mistakes, with slips struck out and with a teacher's marks, and on the source of Python's standard library; sft,
fine-tuned on 2,000 demonstrations of which four in ten are wrong, since people err; preferences, its own answers to
other prompts, right ones above wrong ones, since people see mistakes that they make; reward, a reward model of them,
which goes on predicting the right ones; ppo against that; longer, sft continued for as much compute; dpo, from the same
preferences. Variants of these names give one stage alone, with its upstream as --config.upstream.NAME=DIR. Variant tiny
takes two steps of each.
"""

from ml_collections import ConfigDict

NEW, CONTEXT = 14, 44
TOLD = {"source": "instructions", "options": {"count": 2000, "held_out": 500, "mistakes": 0.4}}
TEMPLATE = {"user": "{content}\n", "assistant": "{content}{end}\n"}
CHECKPOINT = {"every": 500, "keep": 1}


def base() -> dict:
    solved = {
        "source": "instructions",
        "weight": 0.9,
        "options": {"documents": 30_000, "mistakes": 0.1, "marked": 0.35, "struck": 0.3},
    }
    return {
        "task": {"name": "lm", "prompt": 64},
        "model": {
            "vocab": 259,
            "context": 192,
            "transformer": {
                "width": 96,
                "layers": 8,
                "heads": 3,
                "mlp": 256,
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
        "data": {
            "mixture": {"instructions": solved, "stdlib": {"source": "stdlib", "weight": 0.1}},
            "tokenizer": "bytes",
        },
        "optim": {"name": "muon", "lr": 4e-3, "warmup": 50, "final": 0.05, "b2": 0.98, "weight_decay": 0.1},
        "train": {"steps": 3000, "batch_size": 8},
        "checkpoint": CHECKPOINT,
        "evals": {"every": 1000, "batches": 8, "samples": 4},
    }


def sft() -> dict:
    return {
        "task": {"name": "chat"},
        "model": {"context": CONTEXT},
        "data": {**TOLD, "template": TEMPLATE},
        "optim": {"lr": 5e-4, "warmup": 10, "final": 0.1, "b2": 0.98, "weight_decay": 0.1},
        "train": {"steps": 100, "batch_size": 64},
        "checkpoint": CHECKPOINT,
        "evals": {"every": 25, "batches": 8, "samples": 8},
        "upstream": {"base": "base"},
    }


def preferences() -> dict:
    return {
        "rank": {
            "source": "instructions",
            "options": {"count": 12_000, "held_out": 1500, "seed": 1},
            "new": NEW,
            "answers": 2,
            "known": "train",
        },
        "upstream": {"model": "sft"},
    }


def ranked(**more) -> dict:
    return {
        "source": "preferences:{preferences}/preferences.jsonl",
        "options": {"held_out": "{preferences}/held_out.jsonl"},
        **more,
    }


def reward() -> dict:
    return {
        "task": {"name": "reward", "answers": 3, "language": 1.0},
        "data": ranked(demonstrations="instructions", demonstration_options=TOLD["options"]),
        "optim": {"lr": 5e-4, "warmup": 10, "final": 0.1, "b2": 0.98, "weight_decay": 0.1},
        "train": {"steps": 660, "batch_size": 12},
        "checkpoint": CHECKPOINT,
        "evals": {"every": 330, "batches": 60, "samples": 0},
        "upstream": {"sft": "sft"},
    }


def ppo() -> dict:
    return {
        "task": {"name": "ppo", "rollout": {"new": NEW}, "minibatches": 4, "kl": 0.2},
        "data": {"source": "instructions", "options": {"count": 30_000, "held_out": 500, "seed": 1}},
        "optim": {
            "lr": 1e-4,
            "schedule": "constant",
            "warmup": 20,
            "b2": 0.95,
            "ema": 0.98,
            "players": {"value": {"lr": 5e-4, "ema": None}},
        },
        "train": {"steps": 30, "batch_size": 128},
        "checkpoint": CHECKPOINT,
        "log": {"every": 5},
        "evals": {"every": 15, "batches": 4, "samples": 8},
        "upstream": {"sft": "sft", "reward": "reward"},
    }


def longer() -> dict:
    """As much compute as PPO, in forward passes over a row: PPO writes it, reads it with policy, reference, reward
    model and value model, and updates two models at three each; fine-tuning updates one."""
    rows = ppo()["train"]["steps"] * ppo()["train"]["batch_size"] * (1 + 4 + 2 * 3) // 3
    own = sft()
    return {
        **own,
        "train": {**own["train"], "steps": rows // own["train"]["batch_size"]},
        "evals": {**own["evals"], "every": 100},
        "upstream": {"base": "sft"},
    }


def dpo() -> dict:
    return {
        "task": {"name": "dpo", "answers": 3, "beta": 0.5},
        "data": ranked(),
        "optim": {"lr": 5e-5, "warmup": 10, "final": 0.1, "b2": 0.98},
        "train": {"steps": 120, "batch_size": 12},
        "checkpoint": CHECKPOINT,
        "evals": {"every": 60, "batches": 60, "samples": 0},
        "upstream": {"sft": "sft"},
    }


STAGES = {
    "base": base,
    "sft": sft,
    "preferences": preferences,
    "reward": reward,
    "ppo": ppo,
    "longer": longer,
    "dpo": dpo,
}
VARIANTS = (*(name for name in STAGES if name != "preferences"), "tiny")

# As small as it gets, to try the machinery.
FEW = {"count": 64, "held_out": 64}
TINY = {
    "stages": {
        "base": {
            "model": {"transformer": {"width": 16, "layers": 1, "heads": 2, "mlp": 16}},
            "data": {"mixture": {"instructions": {"options": {"documents": 200}}}},
        },
        "sft": {"data": {"options": FEW}},
        "preferences": {"rank": {"options": FEW, "known": "everywhere"}},
        "longer": {"data": {"options": FEW}},
        "ppo": {"data": {"options": FEW}, "task": {"minibatches": 2}},
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
