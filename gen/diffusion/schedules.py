"""Noise schedules: how much of the data is left at each time.

A variance-preserving process is x_t = alpha_t x_0 + sigma_t noise with alpha^2 + sigma^2 = 1, so one number says all
about a time. We keep L = log(alpha^2), the logarithm of the literature's alpha-bar, because float32 holds it to full
relative precision at both ends: near the data, where alpha-bar rounds to 1, and near pure noise, where it nears 0.

Each family has two forms: `betas`, the variances of n discrete steps, and `log_alpha_bar`, a function of continuous
time in [0, 1]. Step i of n discrete ones lies at time (i + 1) / n.

    log_alpha_bar_N = np.cumsum(np.log1p(-SCHEDULES["cosine"].betas(1000)))     # discrete
    log_alpha_bar_B = SCHEDULES["cosine"].log_alpha_bar(t_B)                    # continuous
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64

# The cosine schedule's offset (keeps the first steps from being too small) and the cap on its last ones.
_OFFSET = 0.008
_LARGEST_BETA = 0.999

# Linear: integral of 1000 beta over time, beta from 1e-4 to 0.02 at 1000 steps.
_LINEAR_FIRST, _LINEAR_LAST = 1e-4, 0.02

# Scaled linear: the betas of Stable Diffusion.
_ROOT_FIRST, _ROOT_LAST = 0.00085**0.5, 0.012**0.5


def linear_betas(steps: int) -> Float64[np.ndarray, "N"]:
    """Betas that grow linearly (DDPM, arXiv 2006.11239), scaled so that any number of steps ends equally noisy.

    The scaling by 1000 / steps is that of ADM (arXiv 2105.05233); it needs more than 20 steps to keep betas below 1.
    """
    scale = 1000 / steps
    return np.linspace(scale * _LINEAR_FIRST, scale * _LINEAR_LAST, steps)


def linear_log_alpha_bar(t_B: Float[Array, "B"]) -> Float[Array, "B"]:
    """The limit of `linear_betas` for many steps: minus the integral of beta."""
    first, last = 1000 * _LINEAR_FIRST, 1000 * _LINEAR_LAST
    return -(first * t_B + (last - first) / 2 * t_B**2)


def scaled_linear_betas(steps: int) -> Float64[np.ndarray, "N"]:
    """Betas whose square roots grow linearly, scaled by 1000 / steps as above.

    Latent diffusion (arXiv 2112.10752) and Stable Diffusion; their code calls this one "linear".
    """
    return 1000 / steps * np.linspace(_ROOT_FIRST, _ROOT_LAST, steps) ** 2


def scaled_linear_log_alpha_bar(t_B: Float[Array, "B"]) -> Float[Array, "B"]:
    """The limit of `scaled_linear_betas` for many steps: minus the integral of 1000 (r0 + (r1 - r0) t)^2."""
    slope = _ROOT_LAST - _ROOT_FIRST
    return -1000 * t_B * (_ROOT_FIRST**2 + t_B * (_ROOT_FIRST * slope + t_B * slope**2 / 3))


def cosine_betas(steps: int) -> Float64[np.ndarray, "N"]:
    """Betas that make alpha follow a quarter of a cosine (iDDPM, arXiv 2102.09672, eq. 17), capped at 0.999."""
    time = np.arange(steps + 1) / steps
    alpha_bar = np.cos((time + _OFFSET) / (1 + _OFFSET) * np.pi / 2) ** 2
    return np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], _LARGEST_BETA)


def cosine_log_alpha_bar(t_B: Float[Array, "B"]) -> Float[Array, "B"]:
    """The same quarter cosine at any time, down to the noise at which 1000 capped steps end.

    With a = angle(t) and o = angle(0): alpha = cos a / cos o, and sigma^2 = sin(a - o) sin(a + o) / cos^2 o, which
    subtracts nothing from 1. Each end of the schedule uses the form that stays accurate there.
    """
    quarter = np.pi / 2 / (1 + _OFFSET)
    start = quarter * _OFFSET
    sigma2 = jnp.sin(quarter * t_B) * jnp.sin(quarter * t_B + 2 * start) / np.cos(start) ** 2
    alpha = jnp.sin(quarter * (1 - t_B)) / np.cos(start)
    smallest = np.sqrt(1 - _LARGEST_BETA) * np.sin(quarter / 1000) / np.cos(start)
    return jnp.where(t_B < 0.5, jnp.log1p(-jnp.minimum(sigma2, 0.9)), 2 * jnp.log(jnp.maximum(alpha, smallest)))


class Schedule(NamedTuple):
    """One family in its two forms."""

    betas: Callable[[int], Float64[np.ndarray, "N"]]
    log_alpha_bar: Callable[[Float[Array, "B"]], Float[Array, "B"]]


SCHEDULES = {
    "linear": Schedule(linear_betas, linear_log_alpha_bar),
    "scaled_linear": Schedule(scaled_linear_betas, scaled_linear_log_alpha_bar),
    "cosine": Schedule(cosine_betas, cosine_log_alpha_bar),
}


def alpha_bar(betas_N: Float64[np.ndarray, "N"]) -> Float64[np.ndarray, "N"]:
    """The share of the data's variance that is left after each step: the running product of 1 - beta."""
    return np.exp(np.cumsum(np.log1p(-betas_N)))
