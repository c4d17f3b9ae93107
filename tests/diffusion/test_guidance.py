import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen.diffusion.guidance import classifier_free
from gen.diffusion.prediction import Prediction
from gen.diffusion.process import Process

MEAN, VARIANCE = 0.4, 0.3
X, T = jnp.asarray([[0.3, -1.0], [2.0, 0.1]]), jnp.asarray([200, 700])


def both(process, exact):
    """N(0, v) without the condition and N(m, v) with it."""

    def denoise(x2, t2_B):
        (x_u, x_c), (t_u, t_c) = jnp.split(x2, 2), jnp.split(t2_B, 2)
        unconditional = exact["gaussian"](process, 0.0, VARIANCE)(x_u, t_u).value
        conditional = exact["gaussian"](process, MEAN, VARIANCE)(x_c, t_c).value
        half = jnp.ones_like(x_u)
        return Prediction(jnp.concatenate([unconditional, conditional]), jnp.concatenate([-half, 0.5 * half]))

    return denoise


@pytest.mark.parametrize("predicts", ["x0", "eps", "v"])
@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
def test_guiding_two_gaussians_moves_the_mean_by_the_scale(exact, predicts, scale):
    """p_c^s p_u^(1 - s) is N(s m, v), at every noise level."""
    process = Process("cosine", 1000, predicts)
    guided = jax.jit(classifier_free(both(process, exact), scale))(X, T)
    expected = jax.jit(exact["gaussian"](process, scale * MEAN, VARIANCE))(X, T)
    np.testing.assert_allclose(guided.value, expected.value, atol=3e-6)


def test_the_variance_is_that_of_the_condition(exact):
    process = Process("cosine", 1000, "eps")
    np.testing.assert_array_equal(classifier_free(both(process, exact), 4.0)(X, T).variance, jnp.full((2, 2), 0.5))
    without = classifier_free(lambda x2, t2_B: Prediction(x2), 4.0)
    assert without(X, T).variance is None


def test_the_scale_may_be_traced(exact):
    process = Process("cosine", 1000, "eps")
    run = jax.jit(lambda scale: classifier_free(both(process, exact), scale)(X, T).value)
    np.testing.assert_allclose(run(2.0), classifier_free(both(process, exact), 2.0)(X, T).value, rtol=1e-5)
