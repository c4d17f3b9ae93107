"""Normalisation layers; means and variances are taken in float32 whatever the activations are in.

layer norm (Ba et al. 2016, arXiv 1607.06450):    y = (x - mean) / sqrt(var + eps) * scale + bias, over features
RMS norm (Zhang & Sennrich 2019, arXiv 1910.07467): y = x / sqrt(mean(x^2) + eps) * scale, over features
group norm (Wu & He 2018, arXiv 1803.08494):      layer norm over space and one group of channels
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen import spec
from gen.spec import Params, Spec, Specs

Norm = Literal["layer", "rms"]


def norm_spec(width: int, *, bias: bool = True) -> Specs:
    scale = {"scale": Spec((width,), (None,), spec.ones)}
    return scale | ({"bias": Spec((width,), (None,), spec.zeros)} if bias else {})


@functools.partial(jax.checkpoint, static_argnums=(2, 3), prevent_cse=False)
def norm(params: Params, x: Float[Array, "... D"], kind: Norm, eps: float) -> Float[Array, "... D"]:
    """Layer norm or RMS norm, by name. The backward pass makes its intermediate steps again."""
    return {"layer": layer_norm, "rms": rms_norm}[kind](params, x, eps)


def layer_norm(params: Params, x: Float[Array, "... D"], eps: float = 1e-5) -> Float[Array, "... D"]:
    x32 = x.astype(jnp.float32)
    mean = x32.mean(-1, keepdims=True)
    variance = jnp.square(x32 - mean).mean(-1, keepdims=True)
    y = (x32 - mean) * jax.lax.rsqrt(variance + eps) * params["scale"]
    return (y + params["bias"] if "bias" in params else y).astype(x.dtype)


def rms_norm(params: Params, x: Float[Array, "... D"], eps: float = 1e-5) -> Float[Array, "... D"]:
    x32 = x.astype(jnp.float32)
    return (x32 * jax.lax.rsqrt(jnp.square(x32).mean(-1, keepdims=True) + eps) * params["scale"]).astype(x.dtype)


def group_norm(
    params: Params, x: Float[Array, "B Y X C"], groups: int = 32, eps: float = 1e-5
) -> Float[Array, "B Y X C"]:
    """Raises ValueError when the channels do not divide into `groups`."""
    batch, rows, columns, channels = x.shape
    if channels % groups:
        raise ValueError(f"group norm: {channels} channels do not divide into {groups} groups; change either")
    # per-channel sums over space first: they are plain reductions, and the groups are small
    x32 = x.astype(jnp.float32)
    mean_BG = x32.mean((1, 2)).reshape(batch, groups, -1).mean(-1)
    mean_BC = jnp.repeat(mean_BG, channels // groups, axis=-1)
    centred = x32 - mean_BC[:, None, None]
    variance_BG = jnp.square(centred).mean((1, 2)).reshape(batch, groups, -1).mean(-1)
    scale_BC = jnp.repeat(jax.lax.rsqrt(variance_BG + eps), channels // groups, axis=-1) * params["scale"]
    return (centred * scale_BC[:, None, None] + params["bias"]).astype(x.dtype)
