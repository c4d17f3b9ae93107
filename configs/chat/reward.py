"""A reward model as InstructGPT's (Ouyang et al. 2022, arXiv 2203.02155, appendix C.2), from ranked answers.

    python -m launch.train --config=configs/chat/reward.py --workdir=runs/reward --config.upstream.sft=runs/sft \\
        --config.data.source=preferences:runs/sft/ratings.jsonl --config.data.demonstrations=chat:chats.jsonl

A line of preferences is {"messages": [...], "chosen": "...", "rejected": "..."}, or {"messages": [...], "ranked":
[best, [tied, tied], worst]} with up to `task.answers` answers; launch.chat writes such lines. Demonstrations set the
zero of the scores.

The paper's is of 6 billion parameters for policies of every size: one epoch of 33,000 prompts with 4 to 9 answers each,
64 prompts at a time, 9e-6 with cosine decay to a tenth; it found the number of epochs to matter and the learning rate
not. Variant tiny takes two steps.
"""

from ml_collections import ConfigDict

VARIANTS = ("tiny",)
BASE = "configs/lm/gpt3.py"  # what upstream.sft holds in the tests

TINY = {
    "model": {"context": 96},
    "train": {"steps": 2, "batch_size": 8},
}


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict(
        {
            "task": {"name": "reward", "answers": 2},
            "model": {},
            "data": {"source": "instructions", "demonstrations": "instructions"},
            "optim": {"lr": 9e-6, "final": 0.1, "b2": 0.95},
            "train": {"steps": 516, "batch_size": 64},
            "checkpoint": {"every": 100},
            "evals": {"every": 100, "samples": 0},
        }
    )
    if variant == "tiny":
        config.update(TINY)
    return config
