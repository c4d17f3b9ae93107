"""Batches of ranked answers, which a reward model and DPO learn from: shapes, and the rows as texts.

tokens   int32 (B, K, T)     prompt and answer, for each of a prompt's K answers
length   int32 (B, K)        tokens of each, its end included
prompt   int32 (B,)          tokens before the answer
rank     int32 (B, K)        0 is best, equal ranks tie, -1 is filling
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from gen.tasks.base import Batch


def ranked(size: int, answers: int, context: int) -> Batch:
    int32 = lambda *shape: jax.ShapeDtypeStruct((size, *shape), jnp.int32)
    return {"tokens": int32(answers, context), "length": int32(answers), "prompt": int32(), "rank": int32(answers)}


def one_a_row(x_BKX: Array) -> Array:
    """(B, K, ...) as (B K, ...)."""
    return x_BKX.reshape(-1, *x_BKX.shape[2:])


def answered(batch: Batch) -> Bool[Array, "B K U"]:
    """Which choices of each text are the answer's; choice u is of token u + 1."""
    place_U = jnp.arange(1, batch["tokens"].shape[2])
    return (place_U >= batch["prompt"][:, None, None]) & (place_U < batch["length"][..., None])
