import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen.nn.norms import group_norm, layer_norm


def draw(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def params(width):
    return {"scale": jnp.asarray(1 + draw(width)), "bias": jnp.asarray(draw(width)[::-1].copy())}


def normalised(x, axes, eps=1e-5):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_layer_norm_is_the_formula_in_float64_also_far_from_zero(offset):
    x, p = draw(2, 3, 8) + offset, params(8)
    x = x.astype(np.float32).astype(np.float64)  # the rounding of the input is not the layer's
    expected = normalised(x, -1) * np.float64(p["scale"]) + np.float64(p["bias"])
    np.testing.assert_allclose(layer_norm(p, jnp.asarray(x)), expected, rtol=1e-5, atol=1e-5 * (1 + offset))


@pytest.mark.parametrize("groups", [1, 3, 12])
def test_group_norm_is_the_formula_in_float64(groups):
    x, p = 3 * draw(2, 4, 5, 12) + 2, params(12)
    grouped = normalised(x.reshape(2, 4, 5, groups, 12 // groups), (1, 2, 4)).reshape(x.shape)
    expected = grouped * np.float64(p["scale"]) + np.float64(p["bias"])
    np.testing.assert_allclose(group_norm(p, jnp.asarray(x), groups), expected, rtol=1e-5, atol=1e-5)


def test_statistics_of_bfloat16_are_taken_in_float32():
    x = jnp.asarray(draw(1, 16, 16, 8) + 30, jnp.bfloat16)
    y = group_norm({"scale": jnp.ones(8), "bias": jnp.zeros(8)}, x, 2)
    assert y.dtype == jnp.bfloat16
    exact = normalised(np.float64(x).reshape(1, 16, 16, 2, 4), (1, 2, 4)).reshape(x.shape)
    np.testing.assert_allclose(np.float64(y), exact, rtol=2**-8, atol=1e-3)


def test_channels_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="10 channels do not divide into 4 groups"):
        group_norm(params(10), jnp.ones((1, 2, 2, 10)), 4)


def test_gradients_are_those_of_finite_differences():
    p, x, direction = params(6), jnp.asarray(draw(1, 2, 2, 6)), jnp.asarray(draw(1, 2, 2, 6)[..., ::-1].copy())
    value = lambda x: jnp.sum(group_norm(p, x, 2) * jnp.arange(6.0))
    step = 1e-2
    difference = (value(x + step * direction) - value(x - step * direction)) / (2 * step)
    np.testing.assert_allclose(jnp.vdot(jax.grad(value)(x), direction), difference, rtol=2e-3)
