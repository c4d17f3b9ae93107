"""Targets whose exact denoisers have a closed form."""

import jax
import jax.numpy as jnp
import pytest

from gen.diffusion.level import over
from gen.diffusion.prediction import Prediction


def gaussian_denoiser(process, mean, variance):
    """The exact network for data from N(mean, variance), independent in each dimension."""

    def denoise(x, t_B):
        level = over(x, process.level(t_B))
        total = level.alpha**2 * variance + level.sigma**2
        x0 = mean + level.alpha * variance / total * (x - level.alpha * mean)
        return Prediction(process.convert(x0, x, t_B, "x0", process.predicts))

    return denoise


def mixture_denoiser(process, weights, means, variances):
    """The exact network for data from a mixture of Gaussians, independent in each dimension."""
    weights, means, variances = map(jnp.asarray, (weights, means, variances))

    def denoise(x, t_B):
        level = over(x, process.level(t_B))
        alpha, sigma, away = level.alpha[..., None], level.sigma[..., None], x[..., None]
        total = alpha**2 * variances + sigma**2
        log_density = jnp.log(weights) - 0.5 * jnp.log(total) - 0.5 * (away - alpha * means) ** 2 / total
        x0_each = means + alpha * variances / total * (away - alpha * means)
        x0 = jnp.sum(jax.nn.softmax(log_density, axis=-1) * x0_each, axis=-1)
        return Prediction(process.convert(x0, x, t_B, "x0", process.predicts))

    return denoise


@pytest.fixture
def exact():
    return {"gaussian": gaussian_denoiser, "mixture": mixture_denoiser}
