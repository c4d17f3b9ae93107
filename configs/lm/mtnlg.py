"""MT-NLG 530B (Smith et al. 2022, arXiv 2201.11990): GPT-3's architecture at three times its size.

    python -m launch.train --config=configs/lm/mtnlg.py --workdir=runs/mtnlg --config.data.source=text:DIR

DIR holds text files, JSON lines or Parquet; there is no data behind the placeholder that stands here. 105 layers of
width 20,480 with 128 heads: 529,581,649,920 parameters. Variant tiny takes two steps on the built-in corpus.

Cost: 270 billion tokens at 113 to 126 TFLOP/s on each of 2240 to 3360 A100. Batches of 1920 rows of 2048 tokens, a peak
of 5e-5 after a billion tokens, decaying to a tenth. What differs: batches have their full size from the start, where
the paper's grow from 32; the mesh is a proposal.
"""

from ml_collections import ConfigDict

VARIANTS = ("tiny",)

ROWS, CONTEXT = 1920, 2048

TINY = {
    "model": {"vocab": 259, "context": 32, "transformer": {"width": 32, "layers": 2, "heads": 2}, "dtype": "float32"},
    "data": {"source": "stdlib", "tokenizer": "bytes"},
    "optim": {"warmup": 0},
    "mesh": {"fsdp": 1, "tensor": 1},
    "train": {"steps": 2, "batch_size": 8},
    "task": {"prompt": 8},
}


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict(
        {
            "task": {"name": "lm", "across_documents": True, "prompt": 32},
            "model": {
                "vocab": 50_257,
                "context": CONTEXT,
                "learned_positions": True,
                "vocab_multiple": 8,
                "transformer": {
                    "width": 20_480,
                    "layers": 105,
                    "heads": 128,
                    "activation": "gelu_tanh",
                    "causal": True,
                    "stddev": 0.004,
                    "remat": "full",
                },
                "dtype": "bfloat16",
            },
            "data": {"source": "text:data/text", "tokenizer": "bpe:50257"},
            "optim": {
                "lr": 5e-5,
                "warmup": 10**9 // (ROWS * CONTEXT),
                "final": 0.1,
                "b2": 0.95,
                "weight_decay": 0.1,
            },
            "mesh": {"fsdp": 128, "tensor": 8},
            "train": {"steps": 270_000_000_000 // (ROWS * CONTEXT), "batch_size": ROWS},
            "checkpoint": {"every": 1000},
            "evals": {"every": 1000, "batches": 1, "samples": 8},
        }
    )
    if variant == "tiny":
        config.update(TINY)
    return config
