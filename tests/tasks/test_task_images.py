"""Pictures and captions as the image tasks take them."""

import jax.numpy as jnp
import numpy as np
import pytest

from gen.tasks import image_batch


def test_bytes_become_numbers_from_minus_one_to_one():
    image_BYXC = jnp.array([0, 51, 255], jnp.uint8).reshape(1, 1, 1, 3)
    np.testing.assert_allclose(image_batch.pixels(image_BYXC, 1).ravel(), [-1.0, -0.6, 1.0], rtol=1e-6)


def test_resizing_averages_where_it_shrinks_and_keeps_a_plain_picture():
    stripes_BYXC = jnp.tile(jnp.array([-1.0, 1.0]), 8)[None, None, :, None] * jnp.ones((1, 16, 1, 3))
    assert abs(image_batch.resize(stripes_BYXC, 4)).max() < 0.1  # without antialiasing: -1 or 1 everywhere
    np.testing.assert_allclose(image_batch.resize(jnp.full((1, 16, 16, 3), 0.3), 5), 0.3, rtol=1e-5)
    assert image_batch.resize(stripes_BYXC, 16) is stripes_BYXC


def test_what_does_not_fit_clip_is_named():
    image_batch.check_fit("states", 8, 8)
    with pytest.raises(ValueError, match="model.states=8 does not fit its CLIP, which has 16; set it to that"):
        image_batch.check_fit("states", 8, 16)
