"""BLOOM-176B (Le Scao et al. 2022, arXiv 2211.05100): ALiBi, and a norm after the embedding.

    python -m launch.train --config=configs/lm/bloom.py --workdir=runs/bloom --config.data.source=text:DIR

DIR holds text files, JSON lines or Parquet; there is no data behind the placeholder that stands here. 70 layers of
width 14,336 with 112 heads, a vocabulary of 250,880: 176,247,271,424 parameters. Variant tiny takes two steps on the
built-in corpus.

Cost: 366 billion tokens, 118 days on 384 A100 of 80 GB. Batches of 2048 rows of 2048 tokens, a peak of 6e-5, decaying
to a tenth. What differs: batches have their full size from the start; the mesh is a proposal.
"""

from ml_collections import ConfigDict

VARIANTS = ("tiny",)

ROWS, CONTEXT = 2048, 2048

TINY = {
    "model": {"vocab": 259, "context": 32, "transformer": {"width": 32, "layers": 2, "heads": 4}, "dtype": "float32"},
    "data": {"source": "stdlib", "tokenizer": "bytes"},
    "optim": {"warmup": 0},
    "mesh": {"fsdp": 1, "tensor": 1},
    "train": {"steps": 2, "batch_size": 8},
    "task": {"prompt": 8},
}


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict(
        {
            "task": {"name": "lm", "prompt": 32},
            "model": {
                "vocab": 250_880,
                "context": CONTEXT,
                "embedding_norm": True,
                "transformer": {
                    "width": 14_336,
                    "layers": 70,
                    "heads": 112,
                    "activation": "gelu_tanh",
                    "relative": "alibi",
                    "causal": True,
                    "stddev": 0.006,
                    "remat": "full",
                },
                "dtype": "bfloat16",
            },
            "data": {"source": "text:data/text", "tokenizer": "bpe:250680"},
            "optim": {"lr": 6e-5, "warmup": 90, "final": 0.1, "b2": 0.95, "weight_decay": 0.1},
            "mesh": {"fsdp": 64, "tensor": 4},
            "train": {"steps": 366_000_000_000 // (ROWS * CONTEXT), "batch_size": ROWS},
            "checkpoint": {"every": 1000},
            "evals": {"every": 1000, "batches": 1, "samples": 8},
        }
    )
    if variant == "tiny":
        config.update(TINY)
    return config
