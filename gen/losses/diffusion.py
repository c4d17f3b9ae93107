"""The losses of diffusion models, per example.

    L_simple = mean (prediction - target)^2                                     DDPM, arXiv 2006.11239, eq. 14
    L_hybrid = L_simple + T / 1000 L_vlb, the mean held fixed in L_vlb          iDDPM, arXiv 2102.09672, eq. 16

L_vlb is the term of the variational bound for the example's time, in bits per dimension: a divergence between two
Gaussians, or at t = 0 the likelihood of 8-bit data. T times its mean over times, plus a prior term that is nearly 0,
bounds the data's code length. iDDPM weighs that sum over times by 0.001, which is T / 1000 for one term.

    loss_B = hybrid(prediction, x0, noise, t_B, process)

Shapes: B batch; x0, noise and predictions are (B, ...) of any rank. All losses are float32 of shape (B,).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from gen.diffusion import posterior
from gen.diffusion.level import over
from gen.diffusion.prediction import Prediction
from gen.diffusion.process import Process

_LEAST_PROBABILITY = 1e-12


def _mean(values: Float[Array, "B ..."]) -> Float[Array, "B"]:
    """The mean of all but the first axis."""
    return values.reshape(len(values), -1).mean(axis=1)


def simple(
    prediction: Prediction,
    x0: Float[Array, "B ..."],
    noise: Float[Array, "B ..."],
    t_B: Num[Array, "B"],
    process: Process,
) -> Float[Array, "B"]:
    """The mean squared error in the kind that the process predicts."""
    return _mean((prediction.value.astype(jnp.float32) - process.target(x0, noise, t_B)) ** 2)


def normal_divergence(
    mean_p: Float[Array, "..."],
    log_variance_p: Float[Array, "..."],
    mean_q: Float[Array, "..."],
    log_variance_q: Float[Array, "..."],
) -> Float[Array, "..."]:
    """KL(p || q) between Gaussians, elementwise, in nats."""
    log_ratio = log_variance_p - log_variance_q
    return 0.5 * (jnp.exp(log_ratio) - 1 - log_ratio + (mean_p - mean_q) ** 2 * jnp.exp(-log_variance_q))


def discretised_log_likelihood(
    x: Float[Array, "..."], mean: Float[Array, "..."], log_variance: Float[Array, "..."]
) -> Float[Array, "..."]:
    """log of a Gaussian's mass in the bin of x, one of 256 in [-1, 1] (DDPM, eq. 13), elementwise, in nats.

    The outermost bins reach to infinity. Masses are at least 1e-12, so that gradients stay finite.
    """
    inverse_stddev = jnp.exp(-log_variance / 2)
    lower = jnp.where(x < -0.999, -jnp.inf, (x - mean - 1 / 255) * inverse_stddev)
    upper = jnp.where(x > 0.999, jnp.inf, (x - mean + 1 / 255) * inverse_stddev)
    # Mirrored into the lower tail, where float32 holds small probabilities exactly.
    right = lower + upper > 0
    lower, upper = jnp.where(right, -upper, lower), jnp.where(right, -lower, upper)
    mass = jax.scipy.special.ndtr(upper) - jax.scipy.special.ndtr(lower)
    return jnp.log(jnp.maximum(mass, _LEAST_PROBABILITY))


def variational_bound(
    prediction: Prediction,
    x0: Float[Array, "B ..."],
    x_t: Float[Array, "B ..."],
    t_B: Int[Array, "B"],
    process: Process,
) -> Float[Array, "B"]:
    """The term of the variational bound at t for a network with a learned range of variances, in bits per dimension.

    x0 in [-1, 1], of 8-bit origin. At t = 0 the lower end of the range is that of t = 1, as its own is log 0.
    Raises ValueError for continuous time or a prediction without variance.
    """
    if process.steps is None or prediction.variance is None:
        raise ValueError("the variational bound needs a process of discrete steps and a network with variance channels")
    t, s = over(x0, process.level(t_B)), over(x0, process.level(t_B - 1))
    first_B = jnp.maximum(t_B, 1)
    lower = posterior.fixed_small(prediction, over(x0, process.level(first_B)), over(x0, process.level(first_B - 1)))
    log_variance = posterior.interpolate(prediction.variance, lower, posterior.fixed_large(prediction, t, s))
    predicted_x0 = process.convert(prediction.value.astype(jnp.float32), x_t, t_B, process.predicts, "x0")
    mean = posterior.mean(x_t, predicted_x0, t, s)
    divergence = normal_divergence(posterior.mean(x_t, x0, t, s), lower, mean, log_variance)
    likelihood = discretised_log_likelihood(x0, mean, log_variance)
    return jnp.where(t_B == 0, _mean(-likelihood), _mean(divergence)) / np.log(2)


def hybrid(
    prediction: Prediction,
    x0: Float[Array, "B ..."],
    noise: Float[Array, "B ..."],
    t_B: Int[Array, "B"],
    process: Process,
) -> Float[Array, "B"]:
    """L_simple for the value, and L_vlb for the variance alone: its gradient does not reach the value."""
    if process.steps is None:
        raise ValueError("the hybrid loss needs a process of discrete steps")
    fixed_value = Prediction(jax.lax.stop_gradient(prediction.value), prediction.variance)
    bound_B = variational_bound(fixed_value, x0, process.corrupt(x0, noise, t_B), t_B, process)
    return simple(prediction, x0, noise, t_B, process) + process.steps / 1000 * bound_B
