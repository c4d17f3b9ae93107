"""Policy gradients: how a language model's answers become more like those that were rewarded.

    A_t = sum_k (gamma lambda)^k (r_{t+k} + gamma V_{t+k+1} - V_{t+k})          GAE (Schulman et al. 2016, 1506.02438)
    policy:  -E min(rho A, clip(rho, 1 - c, 1 + c) A),  rho = pi / pi_old       PPO (Schulman et al. 2017, 1707.06347)
    value:   E max((V - R)^2, (clip(V, V_old - c, V_old + c) - R)^2) / 2        R = A + V_old

U is the length of a row of choices: choice u is of token u + 1 of a text. `chosen` marks those that were the model's,
which stand side by side; everything else is filling.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def advantages(
    reward_BU: Float[Array, "B U"],
    value_BU: Float[Array, "B U"],
    chosen_BU: Bool[Array, "B U"],
    *,
    discount: float,
    trace: float,
) -> Float[Array, "B U"]:
    """Generalised advantages, 0 where nothing was chosen; behind its last choice a text is worth nothing more."""
    value_BU = jnp.where(chosen_BU, value_BU, 0.0)

    def step(following_B: tuple[Array, Array], now: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array], Array]:
        next_advantage_B, next_value_B = following_B
        reward_B, value_B, chosen_B = now
        error_B = reward_B + discount * next_value_B - value_B
        advantage_B = jnp.where(chosen_B, error_B + discount * trace * next_advantage_B, 0.0)
        return (advantage_B, value_B), advantage_B

    nothing_B = jnp.zeros(len(reward_BU))
    inputs = (reward_BU.T, value_BU.T, chosen_BU.T)
    return jax.lax.scan(step, (nothing_B, nothing_B), inputs, reverse=True)[1].T


def whiten(x_BU: Float[Array, "B U"], weight_BU: Float[Array, "B U"]) -> Float[Array, "B U"]:
    """Mean 0 and (biased) variance 1 over what has weight."""
    share_BU = weight_BU / weight_BU.sum()
    mean = (x_BU * share_BU).sum()
    variance = (jnp.square(x_BU - mean) * share_BU).sum()
    return (x_BU - mean) * jax.lax.rsqrt(variance + 1e-8)


def policy_loss(
    log_p_BU: Float[Array, "B U"], old_log_p_BU: Float[Array, "B U"], advantage_BU: Float[Array, "B U"], clip: float
) -> tuple[Float[Array, "B U"], Bool[Array, "B U"]]:
    """The clipped loss of each choice, and whether the clip decides it."""
    ratio_BU = jnp.exp(log_p_BU - old_log_p_BU)
    free_BU = -ratio_BU * advantage_BU
    bound_BU = -jnp.clip(ratio_BU, 1 - clip, 1 + clip) * advantage_BU
    return jnp.maximum(free_BU, bound_BU), bound_BU > free_BU


def value_loss(
    value_BU: Float[Array, "B U"], old_value_BU: Float[Array, "B U"], return_BU: Float[Array, "B U"], clip: float
) -> Float[Array, "B U"]:
    near_BU = jnp.clip(value_BU, old_value_BU - clip, old_value_BU + clip)
    return jnp.maximum(jnp.square(value_BU - return_BU), jnp.square(near_BU - return_BU)) / 2


def kl_estimate(log_p_BU: Float[Array, "B U"], reference_BU: Float[Array, "B U"]) -> Float[Array, "B U"]:
    """An estimate of KL(pi || reference) from tokens that pi drew, unbiased and never negative (Schulman 2020, k3)."""
    gap_BU = reference_BU - log_p_BU
    return jnp.exp(gap_BU) - 1 - gap_BU


def adapt_kl_coefficient(
    coefficient: Float[Array, ""], kl: Float[Array, ""], target: float, share: float
) -> Float[Array, ""]:
    """A KL coefficient pulled towards the one that keeps `kl` at `target` (1909.08593, section 2.2).

    `share` is the batch's part of the horizon over which the pull is meant.
    """
    return coefficient * (1 + jnp.clip(kl / target - 1, -0.2, 0.2) * share)
