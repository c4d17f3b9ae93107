"""PaLM (Chowdhery et al. 2022, arXiv 2204.02311) at its three sizes: multi-query attention beside a SwiGLU MLP, rotary.

    python -m launch.train --config=configs/lm/palm.py:540b --workdir=runs/palm --config.data.source=text:DIR

DIR holds text files, JSON lines or Parquet; there is no data behind the placeholder that stands here.

    variant   layers   width   heads         parameters   rows of 2048 tokens
    8b            32    4096      16      8,632,012,800     512
    62b           64    8192      32     62,495,662,080     512
    540b         118  18,432      48    540,356,622,336     512
    tiny           2      32       2     two steps on the built-in corpus, to try the recipe

Cost: 780 billion tokens; 540b on 6144 TPU v4 at 46.2 % model FLOPs utilisation. Adafactor without factoring, a constant
1e-2 for 10,000 steps and then k^-0.5, z-loss 1e-4, batches growing from 512 to 2048 rows.

What differs: AdamW with a cosine, since a learning rate of 1e-2 is relative to each weight's size in the paper's
optimizer; batches are constant; 540b has eight rows of vocabulary more, for a mesh to cut; the meshes are proposals.
"""

from typing import NamedTuple

from ml_collections import ConfigDict


class Size(NamedTuple):
    layers: int
    width: int
    heads: int
    mesh: dict = {}


SIZES = {
    "8b": Size(32, 4096, 16, {"fsdp": 32}),
    "62b": Size(64, 8192, 32, {"fsdp": 128}),
    "540b": Size(118, 18_432, 48, {"fsdp": 256, "tensor": 12}),
}
VARIANTS = (*SIZES, "tiny")

ROWS, CONTEXT = 512, 2048

TINY = {
    "model": {"vocab": 259, "context": 32, "transformer": {"head_dim": 24}, "dtype": "float32"},
    "data": {"source": "stdlib", "tokenizer": "bytes"},
    "optim": {"warmup": 0},
    "train": {"steps": 2, "batch_size": 8},
    "task": {"prompt": 8},
}


def lm(size: Size) -> ConfigDict:
    return ConfigDict(
        {
            "task": {"name": "lm", "z_loss": 1e-4, "prompt": 32},
            "model": {
                "vocab": 256_000,
                "context": CONTEXT,
                "vocab_multiple": size.mesh.get("tensor", 1),
                "transformer": {
                    "width": size.width,
                    "layers": size.layers,
                    "heads": size.heads,
                    "kv_heads": 1,
                    "head_dim": 256,
                    "activation": "silu",
                    "gated": True,
                    "attention_bias": False,
                    "mlp_bias": False,
                    "norm_bias": False,
                    "parallel": True,
                    "rotary": {"theta": 10_000.0},
                    "causal": True,
                    "remat": "full",
                },
                "dtype": "bfloat16",
            },
            "data": {"source": "text:data/text", "tokenizer": "bpe:256000"},
            "optim": {"lr": 1e-4, "warmup": 10_000, "final": 0.1, "b2": 0.95, "weight_decay": 0.1},
            "mesh": size.mesh,
            "train": {"steps": 780_000_000_000 // (ROWS * CONTEXT), "batch_size": ROWS},
            "checkpoint": {"every": 1000},
            "evals": {"every": 1000, "batches": 1, "samples": 8},
        }
    )


def get_config(variant: str = "540b") -> ConfigDict:
    if variant != "tiny":
        return lm(SIZES[variant])
    config = lm(Size(2, 32, 2))
    config.update(TINY)
    return config
