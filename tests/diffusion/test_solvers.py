"""Solvers against exact solutions: for a Gaussian target both the flow and every reverse step are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import rng
from gen.diffusion import analytic, posterior, spacing
from gen.diffusion.level import over
from gen.diffusion.process import Process
from gen.diffusion.sampling import estimate, sample
from gen.diffusion.solvers import ddim, ddpm

KEY_1 = rng.per_example(jax.random.key(0), jnp.arange(1))
MEAN, VARIANCE = 0.3, 0.25
MIXTURE = ((0.3, 0.7), (-1.0, 0.5), (0.04, 0.09))


def exact_flow(weights, means, variances, x_T, process, intervals=4000):
    """Solves the probability-flow ODE for a mixture, dy / d rho = eps with y = x / alpha and rho = sigma / alpha.

    Runge-Kutta of order 4 in asinh(rho), float64: shares nothing with the solver but the equation.
    """
    w, m, v = map(np.asarray, (weights, means, variances))
    level = process.level(jnp.ones(1))
    alpha, rho_T = float(level.alpha[0]), float(level.sigma[0] / level.alpha[0])

    def slope(u, y):
        rho = np.sinh(u)
        log_density = np.log(w) - 0.5 * np.log(v + rho**2) - 0.5 * (y[:, None] - m) ** 2 / (v + rho**2)
        share = np.exp(log_density - log_density.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        return np.cosh(u) * (share * (y[:, None] - m) * rho / (v + rho**2)).sum(axis=1)

    y, us = np.float64(x_T) / alpha, np.linspace(np.arcsinh(rho_T), 0, intervals + 1)
    for u, h in zip(us, np.diff(us), strict=False):
        k1 = slope(u, y)
        k2 = slope(u + h / 2, y + h / 2 * k1)
        k3 = slope(u + h / 2, y + h / 2 * k2)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(u + h, y + h * k3))
    return y


def ddim_errors(process, denoise, x_T, expected):
    """The largest error at 100, 200 and 400 steps."""

    @jax.jit
    def run(times):
        return sample(denoise, x_T, times, process, ddim(eta=0.0), KEY_1, clip=None)

    return np.asarray([np.abs(run(jnp.asarray(spacing.uniform(n))) - expected).max() for n in (100, 200, 400)])


@pytest.mark.parametrize("predicts", ["x0", "eps", "v"])
def test_ddim_converges_to_the_exact_flow_of_a_gaussian_with_order_one(exact, predicts):
    process = Process("linear", None, predicts)
    x_T = jnp.linspace(-2.5, 2.5, 11)[None]
    alpha, sigma = process.alpha(jnp.ones(1)), process.sigma(jnp.ones(1))
    # The flow keeps how many standard deviations a point is from the mean.
    expected = MEAN + np.sqrt(VARIANCE) * (x_T - alpha * MEAN) / np.sqrt(alpha**2 * VARIANCE + sigma**2)
    errors = ddim_errors(process, exact["gaussian"](process, MEAN, VARIANCE), x_T, expected)
    assert errors[-1] < 0.01
    np.testing.assert_allclose(np.log2(errors[:-1] / errors[1:]), 1, atol=0.1)


def test_ddim_converges_to_the_exact_flow_of_a_mixture_with_order_one(exact):
    process = Process("linear", None, "eps")
    x_T = jnp.asarray([[-2.0, -1.0, -0.2, 0.4, 1.0, 2.0]])
    expected = exact_flow(*MIXTURE, x_T[0], process)
    errors = ddim_errors(process, exact["mixture"](process, *MIXTURE), x_T, expected)
    assert errors[-1] < 0.02
    np.testing.assert_allclose(np.log2(errors[:-1] / errors[1:]), 1, atol=0.15)


def ancestral(denoise, process, variance, steps, size=40_000):
    times = spacing.respaced(steps, process.steps)

    @jax.jit
    def run():
        x_T = rng.normal(rng.per_example(jax.random.key(1), jnp.arange(1)), (size,))
        return sample(denoise, x_T, times, process, ddpm(variance), KEY_1, clip=None)

    return run()


def test_ddpm_with_the_exact_variance_draws_the_exact_gaussian_in_few_steps(exact):
    process = Process("cosine", 1000, "eps")
    times = jnp.asarray(spacing.respaced(10, 1000))
    alpha, sigma = process.alpha(times), process.sigma(times)
    moments = analytic.Moments(
        process.level(times).log_alpha_bar, sigma**2 / (alpha**2 * VARIANCE + sigma**2), jnp.asarray(VARIANCE)
    )
    denoise = exact["gaussian"](process, MEAN, VARIANCE)
    exact_steps = ancestral(denoise, process, analytic.variance(moments), 10)
    np.testing.assert_allclose((exact_steps.mean(), exact_steps.var()), (MEAN, VARIANCE), atol=0.01)
    # The small variance is right only for a single point: in few steps too little spread is left.
    assert ancestral(denoise, process, posterior.fixed_small, 10).var() < 0.85 * VARIANCE


@pytest.mark.parametrize("variance", [posterior.fixed_small, posterior.fixed_large])
def test_ddpm_draws_a_mixture_in_many_steps(exact, variance):
    process = Process("cosine", 1000, "v")
    x0 = ancestral(exact["mixture"](process, *MIXTURE), process, variance, 250, size=20_000)
    weights, means, variances = map(np.asarray, MIXTURE)
    mean = (weights * means).sum()
    np.testing.assert_allclose(x0.mean(), mean, atol=0.025)
    np.testing.assert_allclose(x0.var(), (weights * (variances + means**2)).sum() - mean**2, atol=0.03)
    np.testing.assert_allclose((x0 < -0.3).mean(), 0.3, atol=0.025)


def one_step(process, t, s):
    x = jnp.asarray([[0.4, -1.2, 2.0], [1.0, 0.0, -0.3]])
    level_t, level_s = (over(x, process.level(jnp.full(2, time))) for time in (t, s))
    return x, level_t, level_s, rng.per_example(jax.random.key(3), jnp.arange(2))


def test_ddim_with_eta_one_is_ddpm_with_the_small_variance(exact):
    process = Process("cosine", 1000, "eps")
    x, t, s, key_B = one_step(process, 600, 450)
    prediction = exact["gaussian"](process, MEAN, VARIANCE)(x, jnp.full(2, 600))
    now = estimate(prediction, x, t, "eps", clip=None)
    np.testing.assert_allclose(
        ddim(eta=1.0)(now, t, s, key_B), ddpm(posterior.fixed_small)(now, t, s, key_B), atol=2e-6
    )
    assert np.abs(ddim(eta=1.0)(now, t, s, key_B) - ddim(eta=0.0)(now, t, s, key_B)).min() > 1e-3


@pytest.mark.parametrize("solver", [ddpm(posterior.fixed_small), ddpm(posterior.fixed_large), ddim(eta=1.0)])
def test_the_last_step_adds_no_noise_and_gives_the_clipped_estimate(exact, solver):
    process = Process("cosine", 1000, "eps")
    x, t, s, key_B = one_step(process, 300, -1)
    now = estimate(exact["gaussian"](process, MEAN, 4.0)(x, jnp.full(2, 300)), x, t, "eps", clip=1.0)
    np.testing.assert_allclose(solver(now, t, s, key_B), now.x0, atol=1e-6)
    assert np.abs(now.x0).max() == 1
