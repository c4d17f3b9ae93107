import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from gen.diffusion.prediction import Prediction
from gen.diffusion.process import Process
from gen.diffusion.schedules import SCHEDULES, alpha_bar
from gen.losses import diffusion

PROCESS = Process("cosine", 1000, "eps")
bound = jax.jit(diffusion.variational_bound, static_argnums=4)
likelihood = jax.jit(diffusion.discretised_log_likelihood)
T = jnp.asarray([0, 1, 400, 999])


def example(seed=0):
    """Data of 8-bit origin, noise, and a network's outputs, (4, 5) each."""
    source = np.random.default_rng(seed)
    x0 = source.integers(0, 256, (4, 5)) / 127.5 - 1
    noise, value = source.standard_normal((2, 4, 5))
    variance = source.uniform(-1, 1, (4, 5))
    return tuple(jnp.asarray(array, jnp.float32) for array in (x0, noise, value, variance))


@pytest.mark.parametrize("predicts", ["x0", "eps", "v"])
def test_simple_is_the_error_in_the_predicted_kind(predicts):
    x0, noise, value, _ = example()
    abar = alpha_bar(SCHEDULES["cosine"].betas(1000))[T][:, None]
    target = {"x0": x0, "eps": noise, "v": np.sqrt(abar) * noise - np.sqrt(1 - abar) * x0}[predicts]
    loss_B = diffusion.simple(Prediction(value), x0, noise, T, Process("cosine", 1000, predicts))
    np.testing.assert_allclose(loss_B, ((value - target) ** 2).mean(axis=1), rtol=1e-5)
    assert loss_B.shape == (4,)


@pytest.mark.parametrize("parameters", [(0.1, -1.0, 0.3, 0.5), (2.0, 0.0, -1.0, -2.0), (0.0, -6.0, 0.001, -5.5)])
def test_divergence_is_the_integral(parameters):
    mean_p, log_p, mean_q, log_q = parameters
    p, q = norm(mean_p, np.exp(log_p / 2)), norm(mean_q, np.exp(log_q / 2))
    integral, _ = quad(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), p.ppf(1e-14), p.isf(1e-14), epsabs=1e-12)
    np.testing.assert_allclose(
        diffusion.normal_divergence(*map(jnp.asarray, parameters)), integral, rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("level", [0, 1, 77, 128, 254, 255])
@pytest.mark.parametrize(("mean", "stddev"), [(0.0, 0.5), (0.9, 0.05), (-0.4, 0.3)])
def test_discretised_likelihood_is_the_integral_over_the_bin(level, mean, stddev):
    x = level / 127.5 - 1
    low, high = -np.inf if level == 0 else x - 1 / 255, np.inf if level == 255 else x + 1 / 255
    mass, _ = quad(norm(mean, stddev).pdf, low, high, epsabs=0, epsrel=1e-10)
    ours = likelihood(*(jnp.float32(v) for v in (x, mean, 2 * np.log(stddev))))
    np.testing.assert_allclose(ours, np.log(max(mass, 1e-12)), rtol=2e-4)


def test_discretised_likelihoods_of_all_levels_sum_to_one():
    levels = jnp.arange(256) / 127.5 - 1
    log_mass = likelihood(levels, jnp.float32(0.3), jnp.float32(-3.0))
    np.testing.assert_allclose(np.exp(log_mass).sum(), 1, rtol=1e-5)


def test_the_bound_is_that_of_a_float64_computation():
    x0, noise, value, variance = (np.float64(array) for array in example())
    betas = SCHEDULES["cosine"].betas(1000)
    abar = alpha_bar(betas)
    before = np.append(1, abar[:-1])
    beta_tilde = betas * (1 - before) / (1 - abar)
    beta_tilde[0] = beta_tilde[1]

    def mean(t, x0, x_t):
        return (betas[t] * np.sqrt(before[t]) * x0 + (1 - before[t]) * np.sqrt(1 - betas[t]) * x_t) / (1 - abar[t])

    expected = []
    for t, x0_, e, p, v in zip(np.asarray(T), x0, noise, value * 0.02 + noise, variance, strict=True):
        x_t = np.sqrt(abar[t]) * x0_ + np.sqrt(1 - abar[t]) * e
        guess = (x_t - np.sqrt(1 - abar[t]) * p) / np.sqrt(abar[t])
        log_variance = (v + 1) / 2 * np.log(betas[t]) + (1 - v) / 2 * np.log(beta_tilde[t])
        model = norm(mean(t, guess, x_t), np.exp(log_variance / 2))
        if t == 0:
            edges = np.where(x0_ < -0.999, -np.inf, x0_ - 1 / 255), np.where(x0_ > 0.999, np.inf, x0_ + 1 / 255)
            nats = -np.log(np.maximum(model.cdf(edges[1]) - model.cdf(edges[0]), 1e-12))
        else:
            ratio = np.log(beta_tilde[t]) - log_variance
            nats = 0.5 * (np.exp(ratio) - 1 - ratio + ((mean(t, x0_, x_t) - mean(t, guess, x_t)) / model.std()) ** 2)
        expected.append(nats.mean() / np.log(2))

    x0, noise, value, variance = example()
    prediction = Prediction(value * 0.02 + noise, variance)
    loss_B = bound(prediction, x0, PROCESS.corrupt(x0, noise, T), T, PROCESS)
    np.testing.assert_allclose(loss_B, expected, rtol=5e-3)


def test_hybrid_adds_the_bound_and_trains_the_value_by_the_simple_loss_alone():
    x0, noise, value, variance = example()
    fine = Process("cosine", 4000, "eps")

    def losses_and_gradients(loss):
        def total(value, variance):
            loss_B = loss(Prediction(value, variance), x0, noise, T, fine)
            return loss_B.sum(), loss_B

        return jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))(value, variance)

    (_, simple_B), simple_gradient = losses_and_gradients(diffusion.simple)
    (_, hybrid_B), hybrid_gradient = losses_and_gradients(diffusion.hybrid)
    np.testing.assert_allclose(hybrid_gradient[0], simple_gradient[0], rtol=1e-6)
    assert (np.abs(hybrid_gradient[1]) > 0).any(axis=1).all() and np.isfinite(hybrid_gradient[1]).all()
    bound_B = bound(Prediction(value, variance), x0, fine.corrupt(x0, noise, T), T, fine)
    np.testing.assert_allclose(hybrid_B, simple_B + 4 * bound_B, rtol=1e-4)


@pytest.mark.parametrize("process", [PROCESS, Process("cosine", None, "eps")], ids=["no variance", "continuous time"])
def test_the_bound_says_what_it_needs(process):
    x0, noise, value, variance = example()
    prediction = Prediction(value, variance if process.steps is None else None)
    with pytest.raises(ValueError, match="needs a process of discrete steps and a network with variance channels"):
        diffusion.variational_bound(prediction, x0, x0, T, process)
