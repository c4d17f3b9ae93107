"""Between the stages of a cascade: how a low-resolution image is corrupted in training and enters the next network.

An upsampler is trained on clean small images and used on sampled ones. Corrupting its condition closes the gap: with
noise (cascaded diffusion, arXiv 2106.15282), or as unCLIP does (arXiv 2204.06125, section 2.3), with a Gaussian blur
(first upsampler) or the BSR degradation (second; gen.diffusion.degradation). Images lie in [-1, 1].

Shapes: B batch, Y X rows and columns of the large image, y x of the small one, C channels.

    low_ByxC = gaussian_blur(low_ByxC, kernel_size=3, stddev=0.6)
    input_BYXD = concatenate_condition(noisy_BYXC, low_ByxC)                       # D = 2 C
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Num

from gen import rng
from gen.diffusion.process import Process


def gaussian_kernel(kernel_size: int, stddev: float) -> Float[np.ndarray, "kernel_size"]:
    """Samples of a Gaussian at whole pixels, normalised to sum to 1. stddev in pixels; kernel_size odd."""
    if kernel_size % 2 == 0:
        raise ValueError(f"a blur needs an odd kernel_size to keep the image in place, got {kernel_size}")
    offset = np.arange(kernel_size) - kernel_size // 2
    weight = np.exp(-0.5 * (offset / stddev) ** 2)
    return weight / weight.sum()


def gaussian_blur(image_BYXC: Float[Array, "B Y X C"], kernel_size: int, stddev: float) -> Float[Array, "B Y X C"]:
    """Blurs rows and columns by the same Gaussian; the image is mirrored at its edges. unCLIP: 3 and 0.6 pixels."""
    weights = gaussian_kernel(kernel_size, stddev)
    for axis in (1, 2):
        reach = [(kernel_size // 2,) * 2 if i == axis else (0, 0) for i in range(4)]
        padded = jnp.pad(image_BYXC, reach, mode="reflect")
        size = image_BYXC.shape[axis]
        # A sum of shifted images: a depthwise convolution of one channel at a time is slow on every backend.
        shifted = (jax.lax.slice_in_dim(padded, i, i + size, axis=axis) for i in range(kernel_size))
        image_BYXC = functools.reduce(jnp.add, (float(w) * x for w, x in zip(weights, shifted, strict=True)))
    return image_BYXC


def noise_conditioning(
    low_ByxC: Float[Array, "B y x C"], t_B: Num[Array, "B"], key_B: Key[Array, "B"], process: Process
) -> Float[Array, "B y x C"]:
    """Conditioning augmentation: the small image at time t of a process; the network is to be told t as well."""
    return process.corrupt(low_ByxC, rng.normal(key_B, low_ByxC.shape[1:]), t_B)


def concatenate_condition(
    noisy_BYXC: Float[Array, "B Y X C"], low_ByxC: Float[Array, "B y x C"]
) -> Float[Array, "B Y X 2*C"]:
    """The upsampler's input: noisy channels first, then the small image clipped to [-1, 1] and enlarged bicubically."""
    return jnp.concatenate([noisy_BYXC, bicubic(low_ByxC, noisy_BYXC.shape[1:3])], axis=-1)


def bicubic(low_ByxC: Float[Array, "B y x C"], size: tuple[int, ...]) -> Float[Array, "B Y X C"]:
    """A small image, clipped to [-1, 1], enlarged to `size` (rows, columns)."""
    batch, _, _, channels = low_ByxC.shape
    return jax.image.resize(jnp.clip(low_ByxC, -1, 1), (batch, *size, channels), method="cubic", antialias=True)


def detail(x_BYXC: Float[Array, "B Y X C"], low_ByxC: Float[Array, "B y x C"], unit: float) -> Float[Array, "B Y X C"]:
    """What bicubic enlargement misses, in units of `unit` (SRDiff, arXiv 2104.14951, diffuses this difference)."""
    return (x_BYXC - bicubic(low_ByxC, x_BYXC.shape[1:3])) / unit


def with_detail(
    detail_BYXC: Float[Array, "B Y X C"], low_ByxC: Float[Array, "B y x C"], unit: float
) -> Float[Array, "B Y X C"]:
    """The inverse of `detail`, clipped to [-1, 1]."""
    return jnp.clip(bicubic(low_ByxC, detail_BYXC.shape[1:3]) + unit * detail_BYXC, -1, 1)
