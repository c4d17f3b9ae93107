"""Blurring and resizing as matrices, one for rows and one for columns, with another strength for every example.

A matrix of S x S weights maps S pixels to S pixels. Its rows sum to 1, so flat images stay as they are, up to the
edges. All strengths may be traced: what fits in an example's smaller size is a mask, and shapes never change.

Shapes: B batch, Y X rows and columns, C channels, S either of Y and X.

    weights_BSS = down_and_up(64, factor_B, kernel_B)
    image_BYXC = apply(image_BYXC, weights_BSS, weights_BSS)
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def linear(distance: Float[Array, "..."], scale: Float[Array, ""]) -> Float[Array, "..."]:
    """The triangle between neighbouring pixels. distance in pixels of the source."""
    return jnp.maximum(1 - jnp.abs(distance), 0)


def cubic(distance: Float[Array, "..."], scale: Float[Array, ""]) -> Float[Array, "..."]:
    """Cubic convolution with a = -1/2 (Keys, 1981)."""
    d = jnp.abs(distance)
    inner, outer = (1.5 * d - 2.5) * d**2 + 1, ((-0.5 * d + 2.5) * d - 4) * d + 2
    return jnp.where(d < 1, inner, jnp.where(d < 2, outer, 0))


def area(distance: Float[Array, "..."], scale: Float[Array, ""]) -> Float[Array, "..."]:
    """How much of a source pixel the new pixel, `scale` pixels wide, covers."""
    return jnp.clip((1 + scale) / 2 - jnp.abs(distance), 0, jnp.minimum(1, scale))


KERNELS: tuple[Callable, ...] = (linear, cubic, area)


def _normalised(weights_SS: Float[Array, "S S"]) -> Float[Array, "S S"]:
    """Rows that sum to 1, or are all 0."""
    total_S1 = weights_SS.sum(axis=1, keepdims=True)
    return weights_SS / jnp.where(total_S1 == 0, 1, total_S1)


def gaussian(size: int, stddev_B: Float[Array, "B"]) -> Float[Array, "B S S"]:
    """Gaussian blurs, by their standard deviations in pixels."""
    offset_SS = jnp.arange(size)[:, None] - jnp.arange(size)
    narrowest = 0.05  # below which a blur is none at all
    return jax.vmap(lambda s: _normalised(jnp.exp(-0.5 * (offset_SS / jnp.maximum(s, narrowest)) ** 2)))(stddev_B)


def down_and_up(size: int, factor_B: Float[Array, "B"], kernel_B: Int[Array, "B"]) -> Float[Array, "B S S"]:
    """Shrinks by each factor >= 1 with kernel KERNELS[i], not antialiased, and enlarges again with the cubic one."""

    def weights(factor, kernel):
        small = jnp.floor(size / factor)
        scale = size / small
        pixel = jnp.arange(size)
        exists = pixel < small
        down_distance = (pixel[:, None] + 0.5) * scale - 0.5 - pixel
        down_SS = _normalised(jnp.stack([k(down_distance, scale) for k in KERNELS])[kernel] * exists[:, None])
        up_distance = (pixel[:, None] + 0.5) / scale - 0.5 - pixel
        up_SS = _normalised(cubic(up_distance, 1 / scale) * exists)
        return jnp.matmul(up_SS, down_SS, precision="highest")

    return jax.vmap(weights)(factor_B, kernel_B)


def apply(
    image_BYXC: Float[Array, "B Y X C"], rows_BYY: Float[Array, "B Y Y"], columns_BXX: Float[Array, "B X X"]
) -> Float[Array, "B Y X C"]:
    """Maps rows, then columns."""
    image_BYXC = jnp.einsum("bij,bjxc->bixc", rows_BYY, image_BYXC, precision="highest")
    return jnp.einsum("bij,byjc->byic", columns_BXX, image_BYXC, precision="highest")
