"""LaMDA 137B (Thoppilan et al. 2022, arXiv 2201.08239), as pre-trained: T5's relative positions and gated GELU.

    python -m launch.train --config=configs/lm/lamda.py --workdir=runs/lamda --config.data.source=text:DIR

DIR holds text files, JSON lines or Parquet; there is no data behind the placeholder that stands here. 64 layers of
width 8192, MLPs of 65,536, 128 heads of 128: 137,702,158,336 parameters. Variant tiny takes two steps on the built-in
corpus.

Cost: 57.7 days on 1024 TPU v3, 256 thousand tokens a batch, 2.81 trillion tokens.

What differs: the paper prints neither norms, biases nor learning rate; here they are T5's, RMS norm and no biases, with
AdamW. The mesh is a proposal.
"""

from ml_collections import ConfigDict

VARIANTS = ("tiny",)

ROWS, CONTEXT = 256, 1024

TINY = {
    "model": {
        "vocab": 259,
        "context": 32,
        "transformer": {"width": 32, "layers": 2, "heads": 2, "head_dim": 24, "mlp": 64},
        "dtype": "float32",
    },
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
                "vocab": 32_000,
                "context": CONTEXT,
                "transformer": {
                    "width": 8192,
                    "layers": 64,
                    "heads": 128,
                    "head_dim": 128,
                    "mlp": 65_536,
                    "activation": "gelu_tanh",
                    "gated": True,
                    "norm": "rms",
                    "attention_bias": False,
                    "mlp_bias": False,
                    "relative": "t5",
                    "causal": True,
                    "remat": "full",
                },
                "dtype": "bfloat16",
            },
            "data": {"source": "text:data/text", "tokenizer": "bpe:32000"},
            "optim": {"lr": 1e-4, "warmup": 10_000, "final": 0.1, "b2": 0.95, "weight_decay": 0.1},
            "mesh": {"fsdp": 64, "tensor": 4},
            "train": {"steps": 2_810_000_000_000 // (ROWS * CONTEXT), "batch_size": ROWS},
            "checkpoint": {"every": 1000},
            "evals": {"every": 1000, "batches": 1, "samples": 8},
        }
    )
    if variant == "tiny":
        config.update(TINY)
    return config
