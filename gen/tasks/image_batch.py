"""Batches of images and captions, as the image tasks take them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from gen.tasks.base import Batch


def captioned(size: int, resolution: int, context: int) -> Batch:
    """The abstract batch: uint8 pictures and the token ids of their captions."""
    return {
        "image": jax.ShapeDtypeStruct((size, resolution, resolution, 3), jnp.uint8),
        "tokens": jax.ShapeDtypeStruct((size, context), jnp.int32),
    }


def pixels(image_BYXC: UInt8[Array, "B Y X C"], resolution: int) -> Float[Array, "B V U C"]:
    """Pictures of 0 .. 255 as float32 in [-1, 1], resized to `resolution`."""
    x_BYXC = image_BYXC.astype(jnp.float32) / 127.5 - 1
    return resize(x_BYXC, resolution)


def resize(x_BYXC: Float[Array, "B Y X C"], resolution: int) -> Float[Array, "B V U C"]:
    """Bicubic with antialiasing; the identity at the same size."""
    batch, rows, columns, channels = x_BYXC.shape
    if rows == columns == resolution:
        return x_BYXC
    return jax.image.resize(x_BYXC, (batch, resolution, resolution, channels), "cubic", antialias=True)


def check_fit(key: str, own: int | None, clip: int) -> None:
    """Raises ValueError where a model does not take what the CLIP beneath it gives."""
    if own != clip:
        raise ValueError(f"model.{key}={own} does not fit its CLIP, which has {clip}; set it to that")
