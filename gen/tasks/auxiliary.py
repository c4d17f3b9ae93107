"""The language model's own loss, beside that of another head on it: a model that still predicts knows what it judges.

    loss + language * mean_t -log p(token_t | tokens before)

GPT has it beside its classifier (Radford et al. 2018, section 3.2), with the weight 0.5; reward models generalise
better with it on the preferred answers (GRM, Yang et al. 2024, arXiv 2406.10216).
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gen.losses.lm import cross_entropy
from gen.models.lm import LMConfig, head
from gen.spec import Params
from gen.tasks.base import Mean


def check(language: float, model: LMConfig) -> None:
    """Raises ValueError where a head of another kind has taken the place of the one that predicts tokens."""
    if language and not model.tied:
        raise ValueError(
            f"task.language={language} needs a model that predicts tokens with its embeddings, and here "
            "model.tied=False; set task.language=0"
        )


def language(
    params: Params,
    states_BTD: Float[Array, "B T D"],
    tokens_BT: Int[Array, "B T"],
    counts_BU: Bool[Array, "B T-1"],
    weight_B: Float[Array, "B"],
    model: LMConfig,
    chunk: int,
) -> Mean:
    """Nats of each next token, a mean over those of each text that count; choice u is of token u + 1."""
    share_B = weight_B / jnp.maximum(counts_BU.sum(1), 1)
    weight_BT = jnp.pad(counts_BU * share_B[:, None], ((0, 0), (0, 1)))
    target_BT = jnp.roll(tokens_BT, -1, axis=1)
    total, _ = cross_entropy(states_BTD, head(params), target_BT, weight_BT, vocab=model.vocab, chunk=chunk)
    return Mean(total, weight_B.sum())
