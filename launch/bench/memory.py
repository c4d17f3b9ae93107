"""How much memory the loss of long rows and its gradient take beside weights and results, as the compiler plans it.

for row in measure_memory(model_config): row.length, row.bytes / row.length     # linear: the same for every length
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gen import spec
from gen.losses.lm import cross_entropy
from gen.models.lm import LMConfig, head, lm_spec, states

LENGTHS = (4096, 8192, 16_384, 32_768)
LAYERS, WIDTH, HEADS, VOCAB = 2, 64, 2, 512


class Memory(NamedTuple):
    length: int
    bytes: int


def small(cfg: LMConfig) -> LMConfig:
    """The config's kind of model, with little but its rows to keep."""
    transformer = dataclasses.replace(
        cfg.transformer, width=WIDTH, layers=LAYERS, heads=HEADS, kv_heads=None, head_dim=None, mlp=None
    )
    return dataclasses.replace(cfg, vocab=VOCAB, vocab_multiple=1, transformer=transformer)


def measure_memory(cfg: LMConfig, lengths: tuple[int, ...] = LENGTHS) -> list[Memory]:
    return [Memory(length, temporary(dataclasses.replace(small(cfg), context=length))) for length in lengths]


def temporary(cfg: LMConfig) -> int:
    """Bytes for one row that fills the context. Nothing is computed."""
    tokens_BT = jax.ShapeDtypeStruct((1, cfg.context), jnp.int32)

    def loss(params, tokens_BT, target_BT):
        read = states(params, tokens_BT, cfg)
        weight_BT = jnp.ones(tokens_BT.shape, jnp.float32)
        return cross_entropy(read.states_BTD, head(params), target_BT, weight_BT, vocab=cfg.vocab)[0]

    lowered = jax.jit(jax.value_and_grad(loss)).lower(spec.abstract(lm_spec(cfg)), tokens_BT, tokens_BT)
    planned: Any = lowered.compile().memory_analysis()
    return planned.temp_size_in_bytes
