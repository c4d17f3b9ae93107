import jax.numpy as jnp
import numpy as np
import pytest

from gen.diffusion import posterior
from gen.diffusion.prediction import Prediction
from gen.diffusion.process import Process
from gen.diffusion.schedules import SCHEDULES, alpha_bar

NOTHING = Prediction(jnp.zeros(1))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_beta_between_neighbours_is_the_schedules(schedule):
    process, t = Process(schedule, 1000, "eps"), jnp.arange(1000)
    beta = posterior.beta(process.level(t), process.level(t - 1))
    np.testing.assert_allclose(beta, SCHEDULES[schedule].betas(1000), rtol=5e-4)


@pytest.mark.parametrize(("t", "s"), [(1, 0), (999, 998), (700, 10), (999, 0), (500, 250)])
def test_posterior_follows_from_bayes_rule(t, s):
    """Multiplies q(x_s | x_0) by q(x_t | x_s) as Gaussians, in float64."""
    abar = alpha_bar(SCHEDULES["cosine"].betas(1000))
    x0, x_t = 0.7, -1.3
    ratio = np.sqrt(abar[t] / abar[s])
    precision = 1 / (1 - abar[s]) + ratio**2 / (1 - ratio**2)
    mean = (np.sqrt(abar[s]) * x0 / (1 - abar[s]) + ratio * x_t / (1 - ratio**2)) / precision

    process = Process("cosine", 1000, "eps")
    levels = process.level(jnp.asarray([t])), process.level(jnp.asarray([s]))
    np.testing.assert_allclose(posterior.mean(jnp.asarray([x_t]), jnp.asarray([x0]), *levels), mean, rtol=2e-4)
    np.testing.assert_allclose(posterior.fixed_small(NOTHING, *levels), np.log(1 / precision), atol=5e-4)
    np.testing.assert_allclose(posterior.fixed_large(NOTHING, *levels), np.log(1 - ratio**2), atol=5e-4)


def test_the_posterior_of_clean_data_is_the_data():
    process = Process("cosine", 1000, "eps")
    levels = process.level(jnp.asarray([0])), process.level(jnp.asarray([-1]))
    np.testing.assert_allclose(posterior.mean(jnp.asarray([5.0]), jnp.asarray([0.7]), *levels), 0.7, rtol=1e-6)
    np.testing.assert_allclose(posterior.fixed_small(NOTHING, *levels), np.log(1e-20), rtol=1e-6)


def test_learned_range_lies_between_the_fixed_variances():
    process = Process("cosine", 1000, "eps")
    levels = process.level(jnp.asarray([300])), process.level(jnp.asarray([200]))
    small, large = posterior.fixed_small(NOTHING, *levels), posterior.fixed_large(NOTHING, *levels)
    for channel, expected in [
        (-1.0, small),
        (1.0, large),
        (0.0, (small + large) / 2),
        (-0.5, 0.75 * small + 0.25 * large),
    ]:
        learned = posterior.learned_range(Prediction(jnp.zeros(1), jnp.asarray([channel])), *levels)
        np.testing.assert_allclose(learned, expected, rtol=1e-6)
    with pytest.raises(ValueError, match="needs a network with variance channels"):
        posterior.learned_range(NOTHING, *levels)
