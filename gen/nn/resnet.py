"""The residual block of ADM (Dhariwal & Nichol 2021, arXiv 2105.05233), which also halves or doubles the image.

h = conv1(resample(silu(norm1(x))))
h = norm2(h) * (1 + scale) + shift         (scale, shift) = Linear(silu(embedding))     with `scale_shift`
h = norm2(h + Linear(silu(embedding)))                                                  without
y = skip(resample(x)) + conv2(dropout(silu(h)))
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from gen import mesh
from gen.nn.conv import conv, conv_spec
from gen.nn.dropout import dropout
from gen.nn.linear import linear, linear_spec
from gen.nn.norms import group_norm, norm_spec
from gen.spec import Params, Specs

Resample = Literal["none", "down", "up"]


def downsample(x_BYXC: Float[Array, "B Y X C"]) -> Float[Array, "B V U C"]:
    """Half the size, by the mean of 2 x 2 pixels."""
    batch, rows, columns, channels = x_BYXC.shape
    return x_BYXC.reshape(batch, rows // 2, 2, columns // 2, 2, channels).mean((2, 4))


def upsample(x_BYXC: Float[Array, "B Y X C"]) -> Float[Array, "B V U C"]:
    """Twice the size, by repeating pixels."""
    batch, rows, columns, channels = x_BYXC.shape
    x = jnp.broadcast_to(x_BYXC[:, :, None, :, None], (batch, rows, 2, columns, 2, channels))
    return x.reshape(batch, 2 * rows, 2 * columns, channels)


RESAMPLE = {"none": lambda x: x, "down": downsample, "up": upsample}


def resnet_spec(c_in: int, c_out: int, embedding: int, *, scale_shift: bool) -> Specs:
    return {
        "norm1": norm_spec(c_in),
        "conv1": conv_spec(c_in, c_out),
        "embedding": linear_spec(embedding, 2 * c_out if scale_shift else c_out, ("embed", "mlp")),
        "norm2": norm_spec(c_out),
        "conv2": conv_spec(c_out, c_out, stddev=0.0),  # each block starts as its skip connection
    } | ({"skip": conv_spec(c_in, c_out, size=1)} if c_in != c_out else {})


def resnet(
    params: Params,
    x_BYXC: Float[Array, "B Y X I"],
    embedding_BD: Float[Array, "B D"],
    *,
    groups: int,
    scale_shift: bool,
    resample: Resample = "none",
    dropout_rate: float = 0.0,
    key_B: Key[Array, "B"] | None = None,
    name: str = "",
) -> Float[Array, "B V U O"]:
    resampled = RESAMPLE[resample]
    h = jax.nn.silu(group_norm(params["norm1"], x_BYXC, groups))
    h = conv(params["conv1"], mesh.shard(resampled(h), "batch", None, None, "channels"))
    shift_BC = linear(params["embedding"], jax.nn.silu(embedding_BD))[:, None, None]
    if scale_shift:
        scale_BC, shift_BC = jnp.split(shift_BC, 2, axis=-1)
        h = group_norm(params["norm2"], h, groups) * (1 + scale_BC) + shift_BC
    else:
        h = group_norm(params["norm2"], h + shift_BC, groups)
    h = conv(params["conv2"], dropout(jax.nn.silu(h), dropout_rate, key_B, name))
    x = mesh.shard(resampled(x_BYXC), "batch", None, None, "channels")
    return h + (conv(params["skip"], x) if "skip" in params else x)
