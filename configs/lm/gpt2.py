"""GPT-2 (Radford et al. 2019) at its four sizes, trained from nothing as nanoGPT and llm.c reproduce it.

    python -m launch.train --config=configs/lm/gpt2.py:small --workdir=runs/gpt2 --config.data.source=text:DIR

DIR holds text files, JSON lines or Parquet; there is no data behind the placeholder that stands here. The vocabulary is
learned from it; --config.data.tokenizer=FILE takes a tokenizer.json, such as GPT-2's own.

    variant   layers   width   heads      parameters
    small         12     768      12     124,439,808
    medium        24    1024      16     354,823,168
    large         36    1280      20     774,030,080
    xl            48    1600      25   1,557,611,200
    tiny           2      32       2     two steps on the built-in corpus, to try the recipe

Expected: small reaches 3.27 nats a token on FineWeb after 10 billion tokens (llm.c), some 90 minutes on eight A100;
and 2.85 on OpenWebText after 300 billion (nanoGPT). OpenAI gives no recipe: this is that of llm.c, AdamW with a peak of
6e-4 for small, batches of 524,288 tokens, 19,073 steps; for the larger sizes GPT-3's peaks.

What differs from OpenAI: no dropout; attention is full; weights start from N(0, 0.02), those of projections back to the
stream smaller by sqrt(2 x layers), and the biases from 0.
"""

from typing import NamedTuple

from ml_collections import ConfigDict


class Size(NamedTuple):
    """`lr` is the peak learning rate."""

    layers: int
    width: int
    heads: int
    lr: float


SIZES = {
    "small": Size(12, 768, 12, 6e-4),
    "medium": Size(24, 1024, 16, 3e-4),
    "large": Size(36, 1280, 20, 2.5e-4),
    "xl": Size(48, 1600, 25, 2e-4),
}
VARIANTS = (*SIZES, "tiny")

ROWS = 512  # of 1024 tokens
STEPS = 10_000_000_000 // (ROWS * 1024)

TINY = {
    "model": {"vocab": 259, "context": 32, "dtype": "float32"},
    "data": {"source": "stdlib", "tokenizer": "bytes"},
    "optim": {"warmup": 0},
    "train": {"steps": 2, "batch_size": 8},
    "task": {"prompt": 8},
}


def lm(size: Size) -> ConfigDict:
    return ConfigDict(
        {
            "task": {"name": "lm", "across_documents": True, "prompt": 32},
            "model": {
                "vocab": 50_257,
                "context": 1024,
                "learned_positions": True,
                "transformer": {
                    "width": size.width,
                    "layers": size.layers,
                    "heads": size.heads,
                    "activation": "gelu_tanh",
                    "causal": True,
                    "stddev": 0.02,
                    "remat": "full",
                },
                "dtype": "bfloat16",
            },
            "data": {"source": "text:data/text", "tokenizer": "bpe:50257"},
            "optim": {"lr": size.lr, "warmup": 700, "b2": 0.95, "weight_decay": 0.1},
            "train": {"steps": STEPS, "batch_size": ROWS},
            "checkpoint": {"every": 1000},
            "evals": {"every": 1000, "batches": 4, "samples": 8},
        }
    )


def get_config(variant: str = "small") -> ConfigDict:
    if variant != "tiny":
        return lm(SIZES[variant])
    config = lm(Size(2, 32, 2, 1e-3))
    config.update(TINY)
    return config
