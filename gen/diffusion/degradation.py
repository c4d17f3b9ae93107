"""The BSR degradation: what happens to a picture on its way through cameras, editors and the web.

Blur, resizing, sensor noise, Gaussian noise and JPEG compression, in random order, then JPEG again: BSRGAN (arXiv
2103.14006) at the milder strength that latent diffusion trains upsamplers with (arXiv 2112.10752, appendix D.6.1).
unCLIP corrupts the condition of its second upsampler so (arXiv 2204.06125, section 2.3).

Here the picture already has the size of the condition and keeps it: strengths are in its pixels, and resizing goes
down and back up. So one program serves every order; all operations are computed at each turn and one is kept, which
costs little beside a network. Blur follows rows and columns; sensor noise is shot noise in place of a camera model.

Shapes: B batch, Y X rows and columns, C = 3 channels, N operations. Images lie in [-1, 1].

    low_BYXC = bsr(low_BYXC, key_B)
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from gen import rng
from gen.diffusion import jpeg, resampling

_LARGEST_BLUR = 1.1  # standard deviation, pixels
_LARGEST_SHRINKING = 2.0
_SENSOR_PROBABILITY = 0.25
_LOG10_PHOTONS = (2.0, 4.0)  # that a white pixel collects
_NOISE_LEVELS = (1, 2)  # of 255
_JPEG_PROBABILITY = 0.9
_JPEG_QUALITY = (80, 95)


def _between(key_B: Key[Array, "B"], purpose: str, low: float, high: float) -> Float[Array, "B"]:
    return low + (high - low) * rng.uniform(rng.fold_each(key_B, purpose))


def blur(image_BYXC: Float[Array, "B Y X C"], key_B: Key[Array, "B"]) -> Float[Array, "B Y X C"]:
    """A Gaussian blur whose widths along rows and along columns differ."""
    _, rows, columns, _ = image_BYXC.shape
    weights_BYY = resampling.gaussian(rows, _between(key_B, "blur rows", 0.0, _LARGEST_BLUR))
    weights_BXX = resampling.gaussian(columns, _between(key_B, "blur columns", 0.0, _LARGEST_BLUR))
    return resampling.apply(image_BYXC, weights_BYY, weights_BXX)


def resize(image_BYXC: Float[Array, "B Y X C"], key_B: Key[Array, "B"]) -> Float[Array, "B Y X C"]:
    """Down by a random factor with a random one of three kernels, and back up with the cubic one."""
    _, rows, columns, _ = image_BYXC.shape
    factor_B = _between(key_B, "shrinking", 1.0, _LARGEST_SHRINKING)
    kernel_B = rng.integers(rng.fold_each(key_B, "kernel"), 0, len(resampling.KERNELS))
    weights_BYY = resampling.down_and_up(rows, factor_B, kernel_B)
    weights_BXX = resampling.down_and_up(columns, factor_B, kernel_B)
    return resampling.apply(image_BYXC, weights_BYY, weights_BXX)


def sensor_noise(image_BYXC: Float[Array, "B Y X C"], key_B: Key[Array, "B"]) -> Float[Array, "B Y X C"]:
    """Shot noise: the variance of a count of photons is its mean. Gaussian, as counts are large; to some images."""
    photons_B = 10 ** _between(key_B, "photons", *_LOG10_PHOTONS)
    light_BYXC = (image_BYXC + 1) / 2
    noise_BYXC = rng.normal(rng.fold_each(key_B, "shots"), image_BYXC.shape[1:])
    noisy_BYXC = image_BYXC + 2 * jnp.sqrt(jnp.maximum(light_BYXC, 0) / photons_B[:, None, None, None]) * noise_BYXC
    chosen_B = rng.bernoulli(rng.fold_each(key_B, "camera"), _SENSOR_PROBABILITY)
    return jnp.where(chosen_B[:, None, None, None], noisy_BYXC, image_BYXC)


def gaussian_noise(image_BYXC: Float[Array, "B Y X C"], key_B: Key[Array, "B"]) -> Float[Array, "B Y X C"]:
    """White noise: 40 % independent in each channel, 40 % grey, 20 % correlated between channels at random."""
    level_B = rng.integers(rng.fold_each(key_B, "level"), _NOISE_LEVELS[0], _NOISE_LEVELS[1] + 1) * (2 / 255)
    independent_CC, grey_CC = jnp.eye(3), jnp.zeros((3, 3)).at[0].set(1)
    correlated_BCC = rng.normal(rng.fold_each(key_B, "correlation"), (3, 3)) / 3**0.5
    coin_B11 = rng.uniform(rng.fold_each(key_B, "kind"))[:, None, None]
    mix_BCC = jnp.select([coin_B11 < 0.4, coin_B11 < 0.8], [independent_CC, grey_CC], correlated_BCC)
    noise_BYXC = rng.normal(rng.fold_each(key_B, "noise"), image_BYXC.shape[1:])
    return image_BYXC + jnp.einsum("b,byxc,bcd->byxd", level_B, noise_BYXC, mix_BCC)


def jpeg_noise(image_BYXC: Float[Array, "B Y X C"], key_B: Key[Array, "B"]) -> Float[Array, "B Y X C"]:
    """JPEG compression of a random, fairly high quality."""
    quality_B = rng.integers(rng.fold_each(key_B, "quality"), _JPEG_QUALITY[0], _JPEG_QUALITY[1] + 1)
    return jpeg.compress(image_BYXC, quality_B)


def _maybe_jpeg_noise(image_BYXC: Float[Array, "B Y X C"], key_B: Key[Array, "B"]) -> Float[Array, "B Y X C"]:
    chosen_B = rng.bernoulli(rng.fold_each(key_B, "jpeg"), _JPEG_PROBABILITY)
    return jnp.where(chosen_B[:, None, None, None], jpeg_noise(image_BYXC, key_B), image_BYXC)


_OPERATIONS = (blur, resize, sensor_noise, gaussian_noise, _maybe_jpeg_noise)


def bsr(image_BYXC: Float[Array, "B Y X 3"], key_B: Key[Array, "B"]) -> Float[Array, "B Y X 3"]:
    """Degrades RGB images in [-1, 1], each by its own key, keeping their shape and range."""

    def turn(image_BYXC, operation_B):
        done = jnp.stack([operation(image_BYXC, key_B) for operation in _OPERATIONS])
        return jnp.clip(done[operation_B, jnp.arange(len(image_BYXC))], -1, 1), None

    order_BN = jnp.argsort(rng.normal(rng.fold_each(key_B, "order"), (len(_OPERATIONS),)))
    image_BYXC, _ = jax.lax.scan(turn, image_BYXC, order_BN.T)
    return jpeg_noise(image_BYXC, rng.fold_each(key_B, "last"))
