"""Learning from which of several answers is better.

    P(i better than j) = sigmoid(r_i - r_j)              Bradley and Terry 1952
    loss = -mean over pairs of log P(better than worse)

A reward model says r itself (InstructGPT, arXiv 2203.02155, section 3.5). In DPO (Rafailov et al. 2023, arXiv
2305.18290) the policy does: r = beta (log pi(answer) - log pi_ref(answer)).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class PairwiseLoss(NamedTuple):
    """Of each prompt: the mean loss over its pairs, the share of them in the right order, and how many there are."""

    loss_B: Float[Array, "B"]
    correct_B: Float[Array, "B"]
    pairs_B: Float[Array, "B"]


def pairwise(reward_BK: Float[Array, "B K"], rank_BK: Int[Array, "B K"]) -> PairwiseLoss:
    """All pairs of a prompt's K answers, the better with the lower rank; ties and filling (rank -1) make no pair.

    A prompt counts as one, however many pairs it has: they are not independent of each other (section 3.5).
    """
    real_BK = rank_BK >= 0
    better_BKK = (rank_BK[:, :, None] < rank_BK[:, None, :]) & real_BK[:, :, None] & real_BK[:, None, :]
    margin_BKK = reward_BK[:, :, None] - reward_BK[:, None, :]
    pairs_B = better_BKK.sum((1, 2)).astype(jnp.float32)
    mean = lambda x_BKK: jnp.where(better_BKK, x_BKK, 0.0).sum((1, 2)) / jnp.maximum(pairs_B, 1)
    return PairwiseLoss(mean(-jax.nn.log_sigmoid(margin_BKK)), mean((margin_BKK > 0).astype(jnp.float32)), pairs_B)
