"""Biases on attention scores that depend on how far a key lies behind its query.

    alibi   -slope_h * distance                     Press et al. 2021, arXiv 2108.12409
    t5      table[bucket(distance), h]              Raffel et al. 2019, arXiv 1910.10683, section 2.1

T5's buckets are exact for near keys and logarithmic up to 128 tokens; all layers share the table, as in T5.
"""

import math
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from gen import spec
from gen.spec import Spec

Relative = Literal["alibi", "t5"]

BUCKETS = 32
FARTHEST = 128  # tokens; T5 tells no larger distances apart


def table_spec(heads: int) -> Spec:
    """T5's learned biases, for each bucket and head."""
    return Spec((BUCKETS, heads), (None, "heads"), spec.normal(heads**-0.5))


def bias(
    kind: Relative, table: Float[Array, "buckets H"] | None, distance_BTS: Int[Array, "B T S"], heads: int, causal: bool
) -> Float[Array, "B H T S"]:
    """What is added to the scores; `distance_BTS` is query position minus key position. float32."""
    if kind == "alibi":
        slope_H = jnp.asarray(slopes(heads))
        return -slope_H[:, None, None] * jnp.abs(distance_BTS)[:, None].astype(jnp.float32)
    assert table is not None, "T5's biases are learned"
    bias_BTSH = table.astype(jnp.float32)[bucket(distance_BTS, causal)]
    return jnp.moveaxis(bias_BTSH, -1, 1)


def slopes(heads: int) -> Float32[np.ndarray, "H"]:
    """2 ** (-8 i / H) for powers of two; else those of the next lower one, and every other of the next higher."""
    lower = 2 ** int(math.log2(heads))
    powers = [2 ** (-8 * i / lower) for i in range(1, lower + 1)]
    between = [2 ** (-4 * i / lower) for i in range(1, 2 * (heads - lower), 2)]
    return np.array(powers + between, np.float32)


def bucket(distance: Int[Array, "*shape"], causal: bool) -> Int[Array, "*shape"]:
    """The bucket of a distance; without causality half of the buckets are for keys ahead of the query."""
    buckets, offset = BUCKETS, jnp.zeros_like(distance)
    if not causal:
        buckets //= 2
        offset = jnp.where(distance < 0, buckets, 0)
        distance = jnp.abs(distance)
    distance = jnp.maximum(distance, 0)
    exact = buckets // 2
    ratio = jnp.log(jnp.maximum(distance, 1) / exact) / math.log(FARTHEST / exact)
    far = jnp.minimum(exact + (ratio * (buckets - exact)).astype(jnp.int32), buckets - 1)
    return offset + jnp.where(distance < exact, distance, far)
