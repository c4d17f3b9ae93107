import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn
from sklearn.datasets import load_sample_image

from gen.diffusion import jpeg

compress = jax.jit(jpeg.compress)


def test_dct_is_orthonormal_and_undone():
    image = np.random.default_rng(0).uniform(-1, 1, (2, 16, 24, 3)).astype(np.float32)
    coefficients = jpeg.dct(jnp.asarray(image))
    np.testing.assert_allclose(coefficients[1, 1, 2, :, :, 0], dctn(image[1, 8:16, 16:24, 0], norm="ortho"), atol=1e-5)
    np.testing.assert_allclose(jpeg.inverse_dct(coefficients), image, atol=1e-6)


@pytest.mark.parametrize("quality", [30, 80, 95])
def test_compression_is_that_of_a_jpeg_file(quality):
    """A real photograph, 40 x 52, so that the last blocks are padded; files round colours to whole levels."""
    pixels = np.asarray(load_sample_image("china.jpg"))[180:220, 300:352]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=0)
    expected = np.asarray(Image.open(file), np.float32)
    image = jnp.asarray(pixels[None] / 127.5 - 1, jnp.float32)
    ours = (np.asarray(compress(image, jnp.asarray([quality])))[0] + 1) * 127.5
    assert np.abs(ours - expected).mean() < 0.6 < 1.6 < np.abs(pixels - expected).mean()


def test_each_example_has_its_own_quality():
    image = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (1, 8, 8, 3)), jnp.float32)
    both = compress(jnp.concatenate([image, image]), jnp.asarray([5, 95]))
    loss = np.abs(both - image).mean(axis=(1, 2, 3))
    assert loss[0] > 5 * loss[1]
    np.testing.assert_allclose(both[1], compress(image, jnp.asarray([95]))[0], atol=1e-6)
