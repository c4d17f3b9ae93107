"""A reward model: a language model with a scalar head, trained on which of several answers people prefer.

The loss is losses/preference.py's, on the scores of all answers to a prompt at once (InstructGPT, arXiv 2203.02155,
section 3.5), with the language model's own on the best answers beside it where `language` weighs one
(gen/tasks/auxiliary.py). It does not change when every score moves by the same amount, so the scores' mean on
demonstrations is followed beside the weights, and whoever reads the model subtracts it.
"""

import dataclasses
from typing import Annotated, Literal

import jax
import jax.numpy as jnp

from gen import spec
from gen.bounds import Bounded, Count, NotNegative, at_least
from gen.losses.preference import pairwise
from gen.models.lm import LMConfig, lm_spec, serving, states
from gen.models.lm_with_head import apply_head, last_token, lm_with_head_spec, replace_head, text_reward
from gen.spec import Params, Spec
from gen.tasks import auxiliary
from gen.tasks.base import Batch, LossContext, Mean, Metrics, Player, Task, WeightRef, mean_of
from gen.tasks.ranked_batch import answered, one_a_row, ranked

# What a reward model keeps beside its weights: the mean of its scores on demonstrations.
OFFSET = {"demonstrations": Spec((), (), spec.zeros)}
RECENT = 0.05  # the share of a step in that mean, once there have been some


def judging(model: LMConfig) -> dict[str, WeightRef]:
    """What a task that is rewarded by `upstream.reward` reads of it."""
    return {"judge": WeightRef("reward", lm_with_head_spec(model, 1)), "offset": WeightRef("reward", OFFSET, "extra")}


CHUNK = 4096


@dataclasses.dataclass(frozen=True)
class RewardTaskConfig(Bounded):
    """`answers` is the most that a prompt of the data has. `language` weighs the loss of the best answers' tokens,
    which are scored `chunk` at a time."""

    name: Literal["reward"] = "reward"
    answers: Annotated[int, at_least(2)] = 2
    language: NotNegative = 0.0
    chunk: Count = CHUNK

    def unused(self) -> dict[str, str]:
        return {} if self.language or self.chunk == CHUNK else {"chunk": "no tokens are scored where language=0"}


class RewardTask(Task):
    """`demonstrations` says whether the data has them."""

    extra = OFFSET

    def __init__(self, cfg: RewardTaskConfig, model: LMConfig, demonstrations: bool = False):
        auxiliary.check(cfg.language, model)
        self.cfg, self.model, self.demonstrations = cfg, model, demonstrations
        self.players = {"model": Player(lm_with_head_spec(model, 1))}
        self.origin = {"language": WeightRef("sft", lm_spec(model))}

    def begin(self, drawn, origin):
        return {"model": replace_head(origin["language"], drawn["model"])}

    def batch(self, size: int) -> Batch:
        batch = dict(ranked(size, self.cfg.answers, self.model.context))
        if self.demonstrations:
            batch["demonstration_tokens"] = jax.ShapeDtypeStruct((size, self.model.context), jnp.int32)
            batch["demonstration_length"] = jax.ShapeDtypeStruct((size,), jnp.int32)
        return batch

    def loss(self, player: str, params: Params, batch: Batch, context: LossContext) -> tuple[Mean, Metrics]:
        model = serving(self.model) if context.training is None else self.model
        tokens_NT = one_a_row(batch["tokens"])
        states_NTD = states(params["lm"], tokens_NT, model).states_BTD
        score_N = apply_head(params, last_token(states_NTD, one_a_row(batch["length"])))[:, 0]
        compared = pairwise(score_N.reshape(batch["rank"].shape), batch["rank"])
        weight_B = (compared.pairs_B > 0) * batch.get("weight", 1.0)
        loss = mean_of(compared.loss_B, weight_B)
        metrics = {"accuracy": mean_of(compared.correct_B, weight_B)}
        if self.cfg.language:
            best_BK = batch["rank"] == 0
            weight_N = one_a_row(best_BK * (weight_B / jnp.maximum(best_BK.sum(1), 1))[:, None])
            counts_NU = one_a_row(answered(batch))
            language = auxiliary.language(
                params["lm"], states_NTD, tokens_NT, counts_NU, weight_N, self.model, self.cfg.chunk
            )
            metrics |= {"preference": loss, "language": language}
            loss = Mean(loss.total + self.cfg.language * language.total, loss.weight)
        if self.demonstrations:
            shown_B = text_reward(
                jax.lax.stop_gradient(params), batch["demonstration_tokens"], batch["demonstration_length"], model
            )
            metrics["demonstrations"] = mean_of(shown_B)
        return loss, metrics

    def after(self, players, prepared: Batch, metrics: Metrics, context: LossContext) -> Params:
        if not self.demonstrations:
            return context.extra
        old = context.extra["demonstrations"]
        share = jnp.maximum(RECENT, 1 / (context.step + 1))
        return {"demonstrations": old + share * (metrics["demonstrations"].value() - old)}
