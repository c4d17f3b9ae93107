"""Supervised fine-tuning as InstructGPT's (Ouyang et al. 2022, arXiv 2203.02155, appendix C): any language model on
conversations.

    python -m launch.train --config=configs/chat/sft.py --workdir=runs/sft --config.upstream.base=runs/gpt2 \\
        --config.data.source=chat:chats.jsonl
    python -m launch.data  --config=configs/chat/sft.py --config.upstream.base=runs/gpt2 --rows=4   # what counts
    python -m launch.chat  --workdir=runs/sft

A line of chats.jsonl is {"messages": [{"role": "user", "content": ...}, {"role": "assistant", "content": ...}, ...]}.
The model is that of upstream.base; `data.template` says what stands around the messages and is kept with the run.

The paper's 1.3B and 6B models took 16 epochs of 13,000 prompts in batches of 32, at 9.65e-6 with cosine decay to a
tenth, without warm-up, and dropout of 0.2; 175B: 5.03e-6 in batches of 8. A learning rate ten or a hundred times larger
suits smaller models. Without data of your own the built-in instructions stand in. Variant tiny takes two steps.
"""

from ml_collections import ConfigDict

VARIANTS = ("175b", "tiny")
BASE = "configs/lm/gpt3.py"  # what upstream.base holds in the tests

VARIED = {
    "175b": {"optim": {"lr": 5.03e-6}, "train": {"batch_size": 8, "steps": 26_000}},
    "tiny": {
        "model": {"context": 96},
        "data": {"options": {"count": 64, "held_out": 8}},
        "train": {"steps": 2, "batch_size": 8},
    },
}


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict(
        {
            "task": {"name": "chat"},
            "model": {"transformer": {"dropout": 0.2}},
            "data": {"source": "instructions", "options": {}},
            "optim": {"lr": 9.65e-6, "final": 0.1, "b2": 0.95},
            "train": {"steps": 6500, "batch_size": 32},
            "checkpoint": {"every": 500},
            "evals": {"every": 500, "samples": 8},
        }
    )
    config.update(VARIED.get(variant, {}))
    return config
