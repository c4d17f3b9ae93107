"""LLaMA 1, 2 and 3 (arXiv 2302.13971, 2307.09288, 2407.21783) at their published sizes.

    python -m launch.train  --config=configs/lm/llama.py:3-8b --workdir=runs/llama --config.data.source=text:DIR
    python -m launch.sample --workdir=HF_DIR --prompt="The capital of France is"        # public weights, as they are

DIR holds text files, JSON lines or Parquet; there is no data behind the placeholder that stands here.

    variant     layers   width      MLP   heads/kv        parameters    peak   batch   tokens
    1-7b            32    4096   11,008      32/32     6,738,415,616    3e-4      4M     1.0T
    1-13b           40    5120   13,824      40/40    13,015,864,320    3e-4      4M     1.0T
    1-33b           60    6656   17,920      52/52    32,528,943,616  1.5e-4      4M     1.4T
    1-65b           80    8192   22,016      64/64    65,285,660,672  1.5e-4      4M     1.4T
    2-7b            32    4096   11,008      32/32     6,738,415,616    3e-4      4M       2T
    2-13b           40    5120   13,824      40/40    13,015,864,320    3e-4      4M       2T
    2-70b           80    8192   28,672       64/8    68,976,648,192  1.5e-4      4M       2T
    3-8b            32    4096   14,336       32/8     8,030,261,248    3e-4     16M      15T
    3-70b           80    8192   28,672       64/8    70,553,706,496  1.5e-4     16M      15T
    3.1-8b, 3.1-70b, 3.1-405b: with a context of 131,072 by scaled rotary frequencies; the last has
                   126  16,384   53,248      128/8   405,853,388,800    8e-5     16M    15.6T
    tiny             2      32        -        2/1   two steps on the built-in corpus, to try the recipe

Cost: 82,432 A100 hours for 1-7b, 1.72 million for 2-70b, 1.46 million H100 hours for 3.1-8b and 30.84 million for
405b, by their authors.

What differs: the published recipes of LLaMA 3 are prose, and batches, here constant, grew in several steps; 3.1's
context was lengthened in a last phase, here it is there from the start; the meshes are proposals for devices of 80 GB.
"""

from typing import NamedTuple

from ml_collections import ConfigDict


class Size(NamedTuple):
    """`hidden` is the MLP's width, `lr` the peak learning rate, `tokens` the length of the run in billions."""

    layers: int
    width: int
    hidden: int
    heads: int
    kv_heads: int
    lr: float
    tokens: int
    mesh: dict = {}


class Release(NamedTuple):
    vocab: int
    context: int
    theta: float
    eps: float
    batch: int  # tokens
    stretched: bool = False


RELEASES = {
    "1": Release(32_000, 2048, 10_000.0, 1e-6, 2**22),
    "2": Release(32_000, 4096, 10_000.0, 1e-5, 2**22),
    "3": Release(128_256, 8192, 500_000.0, 1e-5, 2**24),
    "3.1": Release(128_256, 131_072, 500_000.0, 1e-5, 2**24, stretched=True),
}
SIZES = {
    "1-7b": Size(32, 4096, 11_008, 32, 32, 3e-4, 1000, {"fsdp": 16}),
    "1-13b": Size(40, 5120, 13_824, 40, 40, 3e-4, 1000, {"fsdp": 32}),
    "1-33b": Size(60, 6656, 17_920, 52, 52, 1.5e-4, 1400, {"fsdp": 64}),
    "1-65b": Size(80, 8192, 22_016, 64, 64, 1.5e-4, 1400, {"fsdp": 128}),
    "2-7b": Size(32, 4096, 11_008, 32, 32, 3e-4, 2000, {"fsdp": 16}),
    "2-13b": Size(40, 5120, 13_824, 40, 40, 3e-4, 2000, {"fsdp": 32}),
    "2-70b": Size(80, 8192, 28_672, 64, 8, 1.5e-4, 2000, {"fsdp": 128}),
    "3-8b": Size(32, 4096, 14_336, 32, 8, 3e-4, 15_000, {"fsdp": 16}),
    "3-70b": Size(80, 8192, 28_672, 64, 8, 1.5e-4, 15_000, {"fsdp": 128}),
    "3.1-8b": Size(32, 4096, 14_336, 32, 8, 3e-4, 15_000, {"fsdp": 16, "context": 8}),
    "3.1-70b": Size(80, 8192, 28_672, 64, 8, 1.5e-4, 15_000, {"fsdp": 128, "context": 8}),
    "3.1-405b": Size(126, 16_384, 53_248, 128, 8, 8e-5, 15_600, {"fsdp": 128, "context": 8, "tensor": 8}),
}
VARIANTS = (*SIZES, "tiny")

TINY = {
    "model": {"vocab": 259, "context": 32, "dtype": "float32"},
    "data": {"source": "stdlib", "tokenizer": "bytes"},
    "optim": {"warmup": 0},
    "train": {"steps": 2, "batch_size": 8},
    "task": {"prompt": 8},
}


def lm(size: Size, release: Release) -> ConfigDict:
    scaling = {"factor": 8.0, "low": 1.0, "high": 4.0, "context": 8192} if release.stretched else None
    return ConfigDict(
        {
            "task": {"name": "lm", "prompt": 32},
            "model": {
                "vocab": release.vocab,
                "context": release.context,
                "tied": False,
                "transformer": {
                    "width": size.width,
                    "layers": size.layers,
                    "heads": size.heads,
                    "kv_heads": size.kv_heads,
                    "mlp": size.hidden,
                    "activation": "silu",
                    "gated": True,
                    "norm": "rms",
                    "eps": release.eps,
                    "attention_bias": False,
                    "mlp_bias": False,
                    "rotary": {"theta": release.theta, "scaling": scaling},
                    "causal": True,
                    "stddev": 0.02,
                    "remat": "full",
                },
                "dtype": "bfloat16",
            },
            "data": {"source": "text:data/text", "tokenizer": f"bpe:{release.vocab}"},
            "optim": {"lr": size.lr, "warmup": 2000, "final": 0.1, "b2": 0.95, "weight_decay": 0.1},
            "mesh": size.mesh,
            "train": {
                "steps": size.tokens * 10**9 // release.batch,
                "batch_size": release.batch // release.context,
            },
            "checkpoint": {"every": 1000},
            "evals": {"every": 1000, "batches": 2, "samples": 8},
        }
    )


def get_config(variant: str = "3-8b") -> ConfigDict:
    if variant != "tiny":
        return lm(SIZES[variant], RELEASES[variant.split("-")[0]])
    config = lm(Size(2, 32, 96, 2, 1, 1e-3, 1), RELEASES["3.1"])
    config.update(TINY)
    return config
