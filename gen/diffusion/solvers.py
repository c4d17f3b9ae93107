"""Solvers: one step from the noise level t to the cleaner level s.

A solver is a function (estimate, t, s, key_B) -> x_s. It sees the noisy x with what the network says about it, after
clipping, the two levels, shaped to broadcast against x, and a key per example. To add one, write such a function here.

    solver = ddim(eta=0.0)
    x_s = solver(estimate, t, s, key_B)
"""

from collections.abc import Callable

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float, Key

from gen import rng
from gen.diffusion import posterior
from gen.diffusion.level import Level
from gen.diffusion.prediction import Prediction


@struct.dataclass
class Estimate:
    """A noisy x and what the network makes of it: x = alpha x0 + sigma eps. All (B, ...), float32."""

    x: Float[Array, "B ..."]
    x0: Float[Array, "B ..."]
    eps: Float[Array, "B ..."]
    prediction: Prediction


Solver = Callable[[Estimate, Level, Level, Key[Array, "B"]], Float[Array, "B ..."]]


def _noise(now: Estimate, s: Level, key_B: Key[Array, "B"]) -> Float[Array, "B ..."]:
    """Standard normal draws, except that the step to clean data adds none."""
    return jnp.where(s.sigma > 0, rng.normal(key_B, now.x.shape[1:]), 0)


def ddpm(variance: posterior.LogVariance) -> Solver:
    """Ancestral sampling: a draw around the posterior mean (DDPM, arXiv 2006.11239, algorithm 2).

    variance: posterior.fixed_small, .fixed_large or .learned_range, or analytic.variance(moments).
    """

    def step(now: Estimate, t: Level, s: Level, key_B: Key[Array, "B"]) -> Float[Array, "B ..."]:
        deviation = jnp.exp(variance(now.prediction, t, s) / 2)
        return posterior.mean(now.x, now.x0, t, s) + deviation * _noise(now, s, key_B)

    return step


def ddim(eta: float) -> Solver:
    """DDIM (arXiv 2010.02502, eq. 12 and 16): deterministic at eta 0, and DDPM with fixed_small at eta 1."""

    def step(now: Estimate, t: Level, s: Level, key_B: Key[Array, "B"]) -> Float[Array, "B ..."]:
        fresh = eta**2 * posterior.beta(t, s) / t.sigma**2  # the share of x_s's noise variance that is drawn anew
        x_s = s.alpha * now.x0 + s.sigma * jnp.sqrt(1 - fresh) * now.eps
        return x_s + s.sigma * jnp.sqrt(fresh) * _noise(now, s, key_B) if eta else x_s

    return step
