import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from gen import rng
from gen.diffusion import degradation, resampling

bsr = jax.jit(degradation.bsr)
down_and_up = jax.jit(resampling.down_and_up, static_argnums=0)


@pytest.fixture(scope="module")
def photos():
    pixels = np.asarray(load_sample_image("flower.jpg"))[200:240, 300:348]
    return jnp.asarray(np.stack([pixels, pixels[::-1], pixels[:, ::-1]]) / 127.5 - 1, jnp.float32)


def keys(rows, seed=0):
    return rng.per_example(jax.random.key(seed), jnp.asarray(rows))


def test_shape_and_range_stay_and_the_picture_is_harmed_a_little(photos):
    low = bsr(photos, keys([0, 1, 2]))
    assert low.shape == photos.shape and low.dtype == jnp.float32
    assert np.abs(low).max() <= 1
    harm = np.abs(low - photos).mean(axis=(1, 2, 3))
    assert (harm > 0.003).all() and (harm < 0.2).all()


def test_a_degradation_depends_on_its_key_and_not_on_its_batch(photos):
    together, again = bsr(photos, keys([0, 1, 2])), bsr(photos, keys([0, 1, 2]))
    np.testing.assert_array_equal(together, again)
    reordered = bsr(photos[jnp.asarray([2, 0, 1])], keys([2, 0, 1]))
    np.testing.assert_allclose(reordered, together[jnp.asarray([2, 0, 1])], atol=1e-5)
    other = bsr(jnp.stack([photos[0]] * 3), keys([0, 1, 2], seed=1))
    assert np.abs(other[0] - other[1]).max() > 0.01 and np.abs(other[0] - together[0]).max() > 0.01


def test_noise_has_the_stated_variance():
    grey = jnp.full((64, 16, 16, 3), 0.0)
    key_B = keys(range(64))
    noise = jax.jit(degradation.gaussian_noise)(grey, key_B)
    assert 0.8 * 1 / 127.5 < noise.std() < 1.2 * 2 / 127.5
    shots = np.asarray(jax.jit(degradation.sensor_noise)(grey, key_B)).std(axis=(1, 2, 3))
    assert 0.1 < (shots > 0).mean() < 0.45
    assert (shots[shots > 0] < 2 * np.sqrt(0.5 / 100) * 1.1).all()


def test_resizing_keeps_flat_images_and_as_many_numbers_as_the_small_image_has():
    factor, kernel = jnp.repeat(jnp.asarray([1.0, 1.37, 2.0]), 3), jnp.tile(jnp.arange(3), 3)
    weights = np.asarray(down_and_up(10, factor, kernel))
    np.testing.assert_allclose(weights.sum(axis=2), 1, atol=1e-5)
    np.testing.assert_allclose(weights[:3], [np.eye(10)] * 3, atol=1e-6)
    assert np.linalg.matrix_rank(weights, tol=1e-4).tolist() == [10] * 3 + [7] * 3 + [5] * 3


def test_area_shrinking_by_two_averages_pairs():
    weights = down_and_up(8, jnp.asarray([2.0]), jnp.asarray([2]))[0]
    alternating, pairs = jnp.tile(jnp.asarray([1.0, -1.0]), 4), jnp.repeat(jnp.asarray([0.1, 0.4, -0.3, 0.2]), 2)
    np.testing.assert_allclose(weights @ alternating, 0, atol=1e-6)
    enlarged = jax.image.resize(pairs[::2], (8,), "cubic")
    np.testing.assert_allclose(weights @ pairs, enlarged, atol=1e-6)


def test_gaussian_weights_have_the_asked_width():
    weights = np.asarray(resampling.gaussian(41, jnp.asarray([0.0, 1.1, 3.0])), np.float64)
    np.testing.assert_allclose(weights[0], np.eye(41), atol=1e-6)
    offset = np.arange(41) - 20
    np.testing.assert_allclose((weights[1:, 20] * offset**2).sum(axis=1), [1.1**2, 3.0**2], rtol=1e-3)
