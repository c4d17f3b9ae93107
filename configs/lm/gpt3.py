"""GPT-3 (Brown et al. 2020, arXiv 2005.14165) at the eight sizes of its table 2.1.

    python -m launch.train --config=configs/lm/gpt3.py:175b --workdir=runs/gpt3 --config.data.source=text:DIR

DIR holds text files, JSON lines or Parquet; there is no data behind the placeholder that stands here.

    variant   layers   width   heads x width        parameters   batch (tokens)   peak
    125m          12     768        12 x 64        125,226,240             0.5M    6e-4
    350m          24    1024        16 x 64        355,871,744             0.5M    3e-4
    760m          24    1536        16 x 96        760,300,032             0.5M  2.5e-4
    1.3b          24    2048        16 x 128     1,315,723,264               1M    2e-4
    2.7b          32    2560        32 x 80      2,651,553,280               1M  1.6e-4
    6.7b          32    4096        32 x 128     6,658,404,352               2M  1.2e-4
    13b           40    5120        40 x 128    12,853,386,240               2M    1e-4
    175b          96   12288        96 x 128   174,604,345,344             3.2M  0.6e-4
    tiny           2      32         2 x 16    two steps on the built-in corpus, to try the recipe

Cost: 300 billion tokens each; 3.14e23 operations for 175b. The paper's loss by compute is 2.57 C^-0.048, with C in
petaflop/s-days.

Two rows of the paper's table contradict themselves: 1.3b says 24 heads of 128 at width 2048, here 16; 13b says width
5140, here 5120. What differs: all layers attend fully, where every other of the paper's is locally banded; batches have
their full size from the start, where the paper's grow from 32 thousand tokens; 175b has seven rows of vocabulary more,
for a mesh to cut; the meshes are proposals for devices of 80 GB.
"""

from typing import NamedTuple

from ml_collections import ConfigDict


class Size(NamedTuple):
    """`rows` of 2048 tokens in a batch; `lr` is the peak learning rate."""

    layers: int
    width: int
    heads: int
    rows: int
    lr: float
    mesh: dict = {}


SIZES = {
    "125m": Size(12, 768, 12, 256, 6e-4),
    "350m": Size(24, 1024, 16, 256, 3e-4),
    "760m": Size(24, 1536, 16, 256, 2.5e-4),
    "1.3b": Size(24, 2048, 16, 512, 2e-4),
    "2.7b": Size(32, 2560, 32, 512, 1.6e-4, {"fsdp": 8}),
    "6.7b": Size(32, 4096, 32, 1024, 1.2e-4, {"fsdp": 16}),
    "13b": Size(40, 5120, 40, 1024, 1e-4, {"fsdp": 32}),
    "175b": Size(96, 12_288, 96, 1536, 0.6e-4, {"fsdp": 64, "tensor": 8}),
}
VARIANTS = (*SIZES, "tiny")

TOKENS = 300_000_000_000
WARMUP = 375_000_000  # tokens
DECAYED = 260_000_000_000  # tokens until a tenth of the peak

TINY = {
    "model": {"vocab": 259, "context": 32, "dtype": "float32"},
    "data": {"source": "stdlib", "tokenizer": "bytes"},
    "optim": {"warmup": 0},
    "train": {"steps": 2, "batch_size": 8},
    "task": {"prompt": 8},
}


def lm(size: Size) -> ConfigDict:
    batch = 2048 * size.rows
    return ConfigDict(
        {
            "task": {"name": "lm", "across_documents": True, "prompt": 32},
            "model": {
                "vocab": 50_257,
                "context": 2048,
                "learned_positions": True,
                "vocab_multiple": size.mesh.get("tensor", 1),
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
            "optim": {
                "lr": size.lr,
                "warmup": WARMUP // batch,
                "final": 0.1,
                "b2": 0.95,
                "weight_decay": 0.1,
            },
            "mesh": size.mesh,
            "train": {"steps": TOKENS // batch, "batch_size": size.rows},
            "checkpoint": {"every": 1000},
            "evals": {"every": 1000, "batches": 2, "samples": 8},
        }
    )


def get_config(variant: str = "125m") -> ConfigDict:
    if variant != "tiny":
        return lm(SIZES[variant])
    config = lm(Size(2, 32, 2, 8, 1e-3))
    config.update(TINY)
    return config
