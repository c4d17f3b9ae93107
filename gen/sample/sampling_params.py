"""The next token from its scores: temperature, top-k, top-p, min-p and a penalty on repetition.

    penalty      scores of tokens seen before, divided by it where positive and multiplied where negative (CTRL,
                 arXiv 1909.05858)
    temperature  scores divided by it; 0 takes the best
    top_k        the k best (Fan et al. 2018, arXiv 1805.04833)
    top_p        the fewest best whose probabilities reach p (Holtzman et al. 2019, arXiv 1904.09751)
    min_p        those at least p times as probable as the best (Nguyen et al. 2024, arXiv 2407.01082)

They apply in this order, each to what the last has left. Where tokens tie at a border, all of them stay.
"""

import dataclasses
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from gen.bounds import Bounded, Count, Fraction, NotNegative, Positive, above, at_most

NEG_INF = -1e30
MIN_TEMPERATURE = 1e-6  # the temperature below which scores would overflow, and the best is as good as certain


@dataclasses.dataclass(frozen=True)
class SamplingParams(Bounded):
    """How tokens are chosen; the defaults draw from the model as it is."""

    temperature: NotNegative = 1.0
    top_k: Count | None = None
    top_p: Annotated[float, above(0), at_most(1)] = 1.0
    min_p: Fraction = 0.0
    penalty: Positive = 1.0


def sample_token(
    logits_BV: Float[Array, "B V"], seen_BV: Bool[Array, "B V"] | None, key_B: Key[Array, "B"], cfg: SamplingParams
) -> Int[Array, "B"]:
    """A token for each row; `seen_BV` marks those that a penalty applies to."""
    if seen_BV is not None:
        punished_BV = jnp.where(logits_BV > 0, logits_BV / cfg.penalty, logits_BV * cfg.penalty)
        logits_BV = jnp.where(seen_BV, punished_BV, logits_BV)
    if cfg.temperature < MIN_TEMPERATURE:
        return logits_BV.argmax(-1).astype(jnp.int32)
    logits_BV = truncate(logits_BV / cfg.temperature, cfg)
    return jax.vmap(jax.random.categorical)(key_B, logits_BV).astype(jnp.int32)


def truncate(logits_BV: Float[Array, "B V"], cfg: SamplingParams) -> Float[Array, "B V"]:
    """The scores with those of tokens that must not be drawn set to NEG_INF."""
    if cfg.top_k is not None and cfg.top_k < logits_BV.shape[-1]:
        logits_BV = mask_below_mass(logits_BV, jnp.ones_like(logits_BV), float(cfg.top_k))
    if cfg.top_p < 1:
        logits_BV = mask_below_mass(logits_BV, jax.nn.softmax(logits_BV), cfg.top_p)
    if cfg.min_p > 0:
        p_BV = jax.nn.softmax(logits_BV)
        logits_BV = jnp.where(p_BV >= cfg.min_p * p_BV.max(-1, keepdims=True), logits_BV, NEG_INF)
    return logits_BV


def mask_below_mass(logits_BV: Float[Array, "B V"], mass_BV: Float[Array, "B V"], goal: float) -> Float[Array, "B V"]:
    """The best scores whose masses add up to `goal`; the others are NEG_INF.

    The border is found by bisection over the scores' bits, without sorting the vocabulary: 32 sums, which also serve
    where a mesh cuts it.
    """
    order_BV = _ordered(logits_BV)

    def halve(_, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low_B, high_B = bounds  # `low` reaches the goal, `high` does not
        middle_B = low_B + (high_B - low_B) // 2
        reached_B = jnp.where(order_BV >= middle_B[:, None], mass_BV, 0).sum(-1) >= goal
        return jnp.where(reached_B, middle_B, low_B), jnp.where(reached_B, high_B, middle_B)

    rows = logits_BV.shape[0]
    low_B, _ = jax.lax.fori_loop(0, 32, halve, (jnp.zeros(rows, jnp.uint32), jnp.full(rows, 0xFFFFFFFF, jnp.uint32)))
    return jnp.where(order_BV >= low_B[:, None], logits_BV, NEG_INF)


def _ordered(x: Float[Array, "*shape"]) -> Array:
    """float32 as uint32 of the same order."""
    x = jnp.where(x == 0, 0, x.astype(jnp.float32))  # -0 and 0 tie
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32)
    sign = jnp.uint32(0x80000000)
    return jnp.where(bits & sign, ~bits, bits | sign)
