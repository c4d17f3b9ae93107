"""Analytic-DPM: the best variance that a reverse step can have, from one statistic of the network per time.

The exact posterior p(x_s | x_t) has the variance of q(x_s | x_t, x_0) and, through the mean, that of x_0 given x_t:

    sigma*^2 = beta_tilde + (alpha_s beta / sigma_t^2)^2 Var(x_0 | x_t)
    Var(x_0 | x_t) = (sigma_t / alpha_t)^2 (1 - E||eps||^2 / d)

averaged over x_t and dimensions (arXiv 2201.06503, Theorem 1), with eps the predicted noise. Theorem 2's bounds hold
for the estimates too: 0 <= E||eps||^2 / d <= 1; and its bound for bounded data, Var(x_0 | x_t) <= ((b - a) / 2)^2, we
replace by the law of total variance, Var(x_0 | x_t) <= Var(x_0), which is tighter and needs no bounded data.

    moments = measure(denoise, process, x0, times, key)                 # once, after training
    x0 = sample(..., solver=solvers.ddpm(analytic.variance(moments)), ...)
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float, Key, Num

from gen import rng
from gen.diffusion import posterior
from gen.diffusion.level import Level
from gen.diffusion.prediction import Denoise, Prediction
from gen.diffusion.process import Process


@struct.dataclass
class Moments:
    """What Analytic-DPM has to know of a network and its data.

    log_alpha_bar_N: the noise levels of the measurement, ascending.
    eps2_N: E||eps||^2 / d of the predicted noise at those levels.
    data_variance: the data's variance, averaged over dimensions.
    """

    log_alpha_bar_N: Float[Array, "N"]
    eps2_N: Float[Array, "N"]
    data_variance: Float[Array, ""]


def measure(
    denoise: Denoise,
    process: Process,
    x0: Float[Array, "B ..."],
    times_N: Num[Array | np.ndarray, "N"],
    key: Key[Array, ""],
) -> Moments:
    """Estimates the moments at each of `times` (descending, as sampled), by Monte Carlo over a batch of clean data."""

    batch, times_N = len(x0), jnp.asarray(times_N)

    def eps2(now):
        i, t = now
        t_B = jnp.full(batch, t)
        key_B = rng.per_example(rng.fold(key, "analytic", i), jnp.arange(batch))
        x_t = process.corrupt(x0, rng.normal(key_B, x0.shape[1:]), t_B)
        return jnp.mean(process.convert(denoise(x_t, t_B).value, x_t, t_B, process.predicts, "eps") ** 2)

    eps2_N = jax.lax.map(eps2, (jnp.arange(len(times_N)), times_N))
    return Moments(process.level(times_N).log_alpha_bar, eps2_N, jnp.mean(jnp.var(x0, axis=0)))


def variance(moments: Moments) -> posterior.LogVariance:
    """The log-variance sigma*^2 of a reverse step; levels between the measured ones are interpolated."""

    def log_variance(prediction: Prediction, t: Level, s: Level) -> Float[Array, "..."]:
        eps2 = jnp.clip(jnp.interp(t.log_alpha_bar, moments.log_alpha_bar_N, moments.eps2_N), 0, 1)
        x0_variance = jnp.minimum((t.sigma / t.alpha) ** 2 * (1 - eps2), moments.data_variance)
        slope = s.alpha * posterior.beta(t, s) / t.sigma**2
        return jnp.log(posterior.beta_tilde(t, s) + slope**2 * x0_variance)

    return log_variance
