"""Rotary positions (Su et al. 2021, arXiv 2104.09864): queries and keys are turned by angles that grow with position.

    (x_i, x_{i + K/2}) turns by  position * theta ** (-2 i / K)

The halves of a head are paired, as in the Hugging Face layout; Meta's files pair neighbours, a permutation of weights.
"""

import dataclasses
import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gen.bounds import Bounded, Count, OutOfBounds, Positive


@dataclasses.dataclass(frozen=True)
class Llama3Scaling(Bounded):
    """How Llama 3.1 stretches its context (arXiv 2407.21783): wavelengths beyond `context` / `low` tokens are divided
    by `factor`, those below `context` / `high` stay, between them the two are blended."""

    factor: Positive = 8.0
    low: Positive = 1.0
    high: Positive = 4.0
    context: Count = 8192

    def __post_init__(self):
        super().__post_init__()
        if self.low >= self.high:
            raise OutOfBounds("high", f"={self.high} must be above low={self.low}")


@dataclasses.dataclass(frozen=True)
class Rotary(Bounded):
    """`theta` is the base of the wavelengths."""

    theta: Positive = 10_000.0
    scaling: Llama3Scaling | None = None


def frequencies(head_dim: int, cfg: Rotary) -> Float[Array, "{head_dim//2}"]:
    """Radians per token, of each pair."""
    frequency = cfg.theta ** (-jnp.arange(0, head_dim, 2, dtype=jnp.float32) / head_dim)
    if cfg.scaling is None:
        return frequency
    scaling = cfg.scaling
    turns = scaling.context * frequency / (2 * math.pi)  # in the original context
    kept = jnp.clip((turns - scaling.low) / (scaling.high - scaling.low), 0, 1)
    return kept * frequency + (1 - kept) * frequency / scaling.factor


def rotate(x_BTHK: Float[Array, "B T H K"], position_BT: Int[Array, "#B T"], cfg: Rotary) -> Float[Array, "B T H K"]:
    angle_BTK = position_BT[..., None].astype(jnp.float32) * frequencies(x_BTHK.shape[-1], cfg)
    cos, sin = (f(angle_BTK)[:, :, None].astype(x_BTHK.dtype) for f in (jnp.cos, jnp.sin))
    left, right = jnp.split(x_BTHK, 2, axis=-1)
    return jnp.concatenate([left * cos - right * sin, right * cos + left * sin], axis=-1)
