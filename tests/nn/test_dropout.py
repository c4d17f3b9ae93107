import jax
import jax.numpy as jnp
import numpy as np

from gen import rng
from gen.nn.dropout import dropout


def keys(*rows):
    return rng.per_example(jax.random.key(0), jnp.array(rows))


def test_it_zeroes_its_share_and_keeps_the_mean():
    y = dropout(jnp.ones((8, 2000)), 0.3, keys(*range(8)), "a")
    assert set(np.unique(y)) == {np.float32(0), np.float32(1) / np.float32(0.7)}
    # four standard deviations of a share of 16,000 coins
    assert abs(np.mean(y == 0) - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 16_000)


def test_an_examples_mask_does_not_depend_on_its_batch():
    x = jax.random.normal(jax.random.key(1), (3, 50))
    together = dropout(x, 0.5, keys(4, 9, 2), "a")
    np.testing.assert_array_equal(dropout(x[1:2], 0.5, keys(9), "a")[0], together[1])


def test_examples_and_layers_have_masks_of_their_own():
    x = jnp.ones((2, 200))
    first, second = dropout(x, 0.5, keys(0, 1), "a"), dropout(x, 0.5, keys(0, 1), "b")
    assert (first[0] != first[1]).any()
    assert (first != second).any()


def test_without_keys_or_rate_it_is_the_identity():
    x = jnp.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(dropout(x, 0.5, None, "a"), x)
    np.testing.assert_array_equal(dropout(x, 0.0, keys(0, 1), "a"), x)
