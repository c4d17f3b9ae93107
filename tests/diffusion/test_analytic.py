import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen.diffusion import analytic, posterior, spacing
from gen.diffusion.prediction import Prediction
from gen.diffusion.process import Process

VARIANCE = 0.25
TIMES = jnp.asarray(spacing.respaced(12, 1000))


def exact_variance(process, t, s):
    """Var(x_s | x_t) for data of N(0, v), in float64, from the joint covariance of x_s and x_t."""
    log_t, log_s = (np.float64(process.level(time).log_alpha_bar) for time in (t, s))
    var_t, var_s = (VARIANCE * np.exp(log) - np.expm1(log) for log in (log_t, log_s))
    return var_s - np.exp(log_t - log_s) * var_s**2 / var_t


@pytest.mark.parametrize("predicts", ["x0", "eps"])
def test_measured_moments_give_the_exact_posterior_variance_of_a_gaussian(exact, predicts):
    process = Process("cosine", 1000, predicts)
    x0 = VARIANCE**0.5 * jax.random.normal(jax.random.key(0), (400, 64))
    denoise = exact["gaussian"](process, 0.0, VARIANCE)
    moments = jax.jit(lambda x0: analytic.measure(denoise, process, x0, TIMES, jax.random.key(1)))(x0)
    log_variance = analytic.variance(moments)(Prediction(x0), process.level(TIMES[:-1]), process.level(TIMES[1:]))
    np.testing.assert_allclose(np.exp(log_variance), exact_variance(process, TIMES[:-1], TIMES[1:]), rtol=0.05)
    # The test can tell: the fixed variances are far off.
    small = posterior.fixed_small(Prediction(x0), process.level(TIMES[:-1]), process.level(TIMES[1:]))
    assert (np.exp(small[1:-2]) < 0.8 * exact_variance(process, TIMES[1:-3], TIMES[2:-2])).any()


def test_exact_moments_give_the_exact_variance():
    process = Process("cosine", 1000, "eps")
    alpha, sigma = process.alpha(TIMES), process.sigma(TIMES)
    eps2 = sigma**2 / (alpha**2 * VARIANCE + sigma**2)
    moments = analytic.Moments(process.level(TIMES).log_alpha_bar, eps2, jnp.asarray(VARIANCE))
    log_variance = analytic.variance(moments)(
        Prediction(TIMES * 1.0), process.level(TIMES[:-1]), process.level(TIMES[1:])
    )
    expected = exact_variance(process, TIMES[:-1], TIMES[1:])
    np.testing.assert_allclose(np.exp(log_variance[1:]), expected[1:], rtol=2e-4)
    # At t = 999 the moment is 1 - 8e-10, which float32 cannot tell from 1.
    np.testing.assert_allclose(np.exp(log_variance[0]), expected[0], rtol=0.01)


@pytest.mark.parametrize("eps2", [-3.0, 0.0, 0.5, 1.0, 7.0])
def test_estimates_are_clipped_to_their_bounds(eps2):
    process = Process("cosine", 1000, "eps")
    t, s = process.level(TIMES[:-1]), process.level(TIMES[1:])
    moments = analytic.Moments(process.level(TIMES).log_alpha_bar, jnp.full(len(TIMES), eps2), jnp.asarray(1e6))
    variance = np.exp(analytic.variance(moments)(Prediction(TIMES * 1.0), t, s))
    beta, beta_tilde = posterior.beta(t, s), posterior.beta_tilde(t, s)
    bounds = beta_tilde, beta_tilde + (s.alpha * beta / (t.sigma * t.alpha)) ** 2
    assert (variance >= 0.999 * bounds[0]).all() and (variance <= 1.001 * bounds[1]).all()
