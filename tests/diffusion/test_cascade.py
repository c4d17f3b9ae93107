import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import rng
from gen.diffusion.cascade import concatenate_condition, gaussian_blur, gaussian_kernel, noise_conditioning
from gen.diffusion.process import Process


def images(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize(("kernel_size", "stddev"), [(3, 0.6), (5, 1.3)])
def test_blur_is_the_explicit_convolution(kernel_size, stddev):
    image = images(2, 5, 6, 3)
    half = kernel_size // 2
    offsets = np.arange(-half, half + 1)
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * stddev**2))
    kernel /= kernel.sum()
    mirrored = np.pad(image, [(0, 0), (half, half), (half, half), (0, 0)], mode="reflect")
    expected = np.zeros(image.shape)
    for y in range(image.shape[1]):
        for x in range(image.shape[2]):
            window = mirrored[:, y : y + kernel_size, x : x + kernel_size]
            expected[:, y, x] = np.einsum("byxc,yx->bc", window, kernel)
    np.testing.assert_allclose(gaussian_blur(jnp.asarray(image), kernel_size, stddev), expected, atol=1e-6)


def test_an_even_kernel_is_refused():
    with pytest.raises(ValueError, match="odd kernel_size to keep the image in place, got 4"):
        gaussian_kernel(4, 0.6)


def test_the_condition_comes_last_clipped_and_enlarged():
    noisy, low = jnp.asarray(images(2, 8, 8, 3)), jnp.asarray(3 * images(2, 4, 4, 3))
    both = concatenate_condition(noisy, low)
    np.testing.assert_array_equal(both[..., :3], noisy)
    np.testing.assert_array_equal(both[..., 3:], concatenate_condition(noisy, jnp.clip(low, -1, 1))[..., 3:])
    flat = concatenate_condition(noisy, jnp.full((2, 4, 4, 3), 0.25))[..., 3:]
    np.testing.assert_allclose(flat, 0.25, rtol=1e-6)


def test_enlarging_is_cubic_convolution():
    """Halfway rows of a 2x enlargement weigh four neighbours by Keys' kernel with a = -1/2."""
    low = np.zeros((1, 8, 8, 1), np.float32)
    low[0, :, :, 0] = images(8)[:, None]
    large = concatenate_condition(jnp.zeros((1, 16, 16, 1)), jnp.asarray(low))[0, :, 4, 1]
    weights = np.array([-0.0703125, 0.8671875, 0.2265625, -0.0234375])  # at distances 1.25, 0.25, 0.75, 1.75
    np.testing.assert_allclose(large[7], weights @ low[0, [2, 3, 4, 5], 0, 0], atol=1e-6)


def test_noise_conditioning_is_the_process():
    process = Process("linear", 1000, "eps")
    low, t_B = jnp.asarray(images(2, 4, 4, 3)), jnp.asarray([10, 400])
    key_B = rng.per_example(jax.random.key(0), jnp.arange(2))
    expected = process.corrupt(low, rng.normal(key_B, (4, 4, 3)), t_B)
    np.testing.assert_array_equal(noise_conditioning(low, t_B, key_B, process), expected)
