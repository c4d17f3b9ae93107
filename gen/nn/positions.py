"""Where a token or a noise level is: learned positions and the sinusoidal embedding of a timestep."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Float, Num

from gen import spec
from gen.nn.linear import linear, linear_spec
from gen.spec import Params, Spec, Specs


def learned_positions_spec(length: int, width: int, stddev: float = 0.01) -> Spec:
    return Spec((length, width), (None, "embed"), spec.normal(stddev))


def timestep_features(t: Num[Array, "B"], width: int, max_period: float = 10_000.0) -> Float[Array, "B D"]:
    """[cos(t w_i), sin(t w_i)], w_i = max_period ** (-i / half): the order and spacing of DDPM's and ADM's code.

    `t` counts training steps (0 .. 999), also in continuous time, where the caller multiplies by 1000.
    """
    half = width // 2
    frequencies = jnp.exp(-math.log(max_period) / half * jnp.arange(half, dtype=jnp.float32))
    angles = t.astype(jnp.float32)[:, None] * frequencies
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


def timestep_spec(features: int, width: int) -> Specs:
    return {"in": linear_spec(features, width), "out": linear_spec(width, width, ("mlp", "embed"))}


def timestep_embedding(
    params: Params, t: Num[Array, "B"], features: int, dtype: DTypeLike = jnp.float32
) -> Float[Array, "B D"]:
    """Sinusoidal features through Linear, SiLU, Linear."""
    h = linear(params["in"], timestep_features(t, features).astype(dtype))
    return linear(params["out"], jax.nn.silu(h))
