"""What a language model has to compute and to read, and how fast this machine reads.

    train_flops(cfg, tokens=1024, length=256)      6 N + 12 L H Q T a token (arXiv 2204.02311, appendix B)
    decode_flops(cfg, rows=16, slots=48)           a third of it, for one token of each row
    decode_bytes(cfg, rows=16, slots=48)           the weights once, and every row's keys and values

N are the weights that multiply: the head counts, tied or not, and tables that are only looked up do not. All T tokens
of a row count as seen, though half are hidden, and nothing is counted twice for being computed again.
"""

import functools
import math

import jax
import jax.numpy as jnp

from gen.models.lm import LMConfig, lm_spec
from gen.spec import Spec
from launch.bench.timing import medians

SWEPT = 2**29  # bytes, more than any cache holds


def multiplied(cfg: LMConfig) -> int:
    """N."""
    if cfg.transformer.experts is not None:
        raise ValueError("the work of experts is not counted here; choose a config without model.transformer.experts")
    looked_up = {"positions", "relative"} | (set() if cfg.tied else {"tokens"})
    specs = {name: part for name, part in lm_spec(cfg).items() if name not in looked_up}
    return sum(math.prod(s.shape) for s in jax.tree.leaves(specs, is_leaf=lambda x: isinstance(x, Spec)))


def train_flops(cfg: LMConfig, tokens: int, length: int) -> int:
    return 3 * tokens * _forward(cfg, length)


def decode_flops(cfg: LMConfig, rows: int, slots: int) -> int:
    return rows * _forward(cfg, slots)


def decode_bytes(cfg: LMConfig, rows: int, slots: int) -> int:
    transformer = cfg.transformer
    cached = 2 * rows * slots * transformer.layers * transformer.groups * transformer.head_width
    return (multiplied(cfg) + cached) * jnp.dtype(cfg.dtype).itemsize


def _forward(cfg: LMConfig, seen: int) -> int:
    """Of one token that sees `seen` others."""
    return 2 * multiplied(cfg) + 4 * cfg.transformer.layers * cfg.transformer.heads * cfg.transformer.head_width * seen


def bandwidth(repeats: int) -> float:
    """Bytes a second of the fastest of three passes over SWEPT bytes: a sum, a matrix times a vector, and a copy."""
    x = jnp.ones((SWEPT // 4 // 4096, 4096), jnp.float32)
    y = jnp.ones(4096, jnp.float32)
    passes = {jnp.sum: 1, lambda x: x @ y: 1, lambda x: x + 1: 2}
    taken = medians([functools.partial(jax.jit(go), x) for go in passes], repeats)
    return max(times * x.nbytes / seconds for times, seconds in zip(passes.values(), taken, strict=True))
