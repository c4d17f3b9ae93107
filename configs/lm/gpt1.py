"""GPT-1 (Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training"), trained from nothing.

    python -m launch.train --config=configs/lm/gpt1.py --workdir=runs/gpt1 --config.data.source=text:DIR

DIR holds text files, JSON lines or Parquet; there is no data behind the placeholder that stands here. Twelve layers of
width 768 with norms after each half of a block, learned positions, tied embeddings: 116,534,784 parameters (the paper
rounds to 117M). Variant tiny takes two steps on the built-in corpus.

The paper: Adam with a peak of 2.5e-4 after 2000 updates and cosine decay to 0, rows of 512 tokens, batches of 64, 100
epochs of BooksCorpus (some 800 million words, about a month on eight P600; perplexity 18.4), dropout of 0.1.

What differs: dropout is on embeddings and on what attention and MLP add, not on attention weights; steps are of 100
epochs of a billion tokens; the vocabulary of 40,478 is learned from the text at hand.
"""

from ml_collections import ConfigDict

VARIANTS = ("tiny",)

STEPS = 100 * 1_000_000_000 // (64 * 512)

TINY = {
    "model": {"vocab": 259, "context": 32, "transformer": {"width": 32, "layers": 2, "heads": 2}, "dtype": "float32"},
    "data": {"source": "stdlib", "tokenizer": "bytes"},
    "optim": {"warmup": 0},
    "train": {"steps": 2, "batch_size": 8},
    "task": {"prompt": 8},
}


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict(
        {
            "task": {"name": "lm", "across_documents": True, "prompt": 32},
            "model": {
                "vocab": 40_478,
                "context": 512,
                "learned_positions": True,
                "final_norm": False,
                "transformer": {
                    "width": 768,
                    "layers": 12,
                    "heads": 12,
                    "norm_order": "post",
                    "activation": "gelu_tanh",
                    "causal": True,
                    "dropout": 0.1,
                    "stddev": 0.02,
                    "remat": "full",
                },
                "dtype": "bfloat16",
            },
            "data": {"source": "text:data/text", "tokenizer": "bpe:40478"},
            "optim": {"lr": 2.5e-4, "warmup": 2000, "weight_decay": 0.01},
            "train": {"steps": STEPS, "batch_size": 64},
            "checkpoint": {"every": 5000},
            "evals": {"every": 5000, "batches": 4, "samples": 8},
        }
    )
    if variant == "tiny":
        config.update(TINY)
    return config
