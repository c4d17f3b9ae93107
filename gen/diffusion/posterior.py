"""The posterior q(x_s | x_t, x_0) between any two times, and the variances that a reverse step can use.

With levels t (noisier) and s, the forward step from s to t has variance beta = 1 - alpha_bar_t / alpha_bar_s, and

    q(x_s | x_t, x_0) = N(alpha_s beta / sigma_t^2 x_0 + sqrt(1 - beta) sigma_s^2 / sigma_t^2 x_t, beta_tilde)
    beta_tilde = beta sigma_s^2 / sigma_t^2

(DDPM, arXiv 2006.11239, eq. 6 and 7). Only the two levels matter, so skipping steps needs nothing more.

    x_s = posterior.mean(x_t, x0, t, s) + jnp.exp(posterior.fixed_small(prediction, t, s) / 2) * noise
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from gen.diffusion.level import Level
from gen.diffusion.prediction import Prediction

# (prediction, t, s) -> log-variance of the step from t to s, broadcasting against x
LogVariance = Callable[[Prediction, Level, Level], Array]

_SMALLEST_VARIANCE = 1e-20


def beta(t: Level, s: Level) -> Float[Array, "..."]:
    """The variance that the forward process adds from s to t."""
    return -jnp.expm1(t.log_alpha_bar - s.log_alpha_bar)


def beta_tilde(t: Level, s: Level) -> Float[Array, "..."]:
    """The variance of x_s that remains when x_t and x_0 are known."""
    return beta(t, s) * s.sigma**2 / t.sigma**2


def mean(x_t: Float[Array, "B ..."], x0: Float[Array, "B ..."], t: Level, s: Level) -> Float[Array, "B ..."]:
    """The mean of q(x_s | x_t, x_0); x0 itself when s is clean data."""
    # sqrt(1 - beta) as a ratio of alphas: at great noise beta rounds to 1
    return s.alpha * beta(t, s) / t.sigma**2 * x0 + t.alpha / s.alpha * s.sigma**2 / t.sigma**2 * x_t


def fixed_small(prediction: Prediction, t: Level, s: Level) -> Float[Array, "..."]:
    """log beta_tilde: right when the data is one point. Clamped, since it is log 0 when s is clean data."""
    return jnp.log(jnp.maximum(beta_tilde(t, s), _SMALLEST_VARIANCE))


def fixed_large(prediction: Prediction, t: Level, s: Level) -> Float[Array, "..."]:
    """log beta: right when the data is standard normal noise."""
    return jnp.log(beta(t, s))


def learned_range(prediction: Prediction, t: Level, s: Level) -> Float[Array, "B ..."]:
    """Between log beta_tilde and log beta, where the network says (iDDPM, arXiv 2102.09672, eq. 15)."""
    if prediction.variance is None:
        raise ValueError("the learned range needs a network with variance channels; use fixed_small or fixed_large")
    return interpolate(prediction.variance, fixed_small(prediction, t, s), fixed_large(prediction, t, s))


def interpolate(
    variance: Float[Array, "B ..."], lower: Float[Array, "..."], upper: Float[Array, "..."]
) -> Float[Array, "B ..."]:
    """A variance channel in [-1, 1] as a log-variance between `lower` and `upper`."""
    share = (variance.astype(jnp.float32) + 1) / 2
    return share * upper + (1 - share) * lower
