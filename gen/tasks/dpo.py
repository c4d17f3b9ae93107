"""Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290): ranked answers without a reward model.

The policy is its own reward model, r = beta (log pi(answer) - log pi_ref(answer)), and learns from the same loss on
the same data as gen/tasks/reward.py. It begins as its reference, `upstream.sft`.
"""

import dataclasses
from typing import Annotated, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from gen.bounds import Bounded, Count, Positive, at_least
from gen.losses.preference import pairwise
from gen.models.lm import LMConfig, lm_spec
from gen.spec import Params
from gen.tasks import rollout
from gen.tasks.base import Batch, LossContext, Mean, Metrics, Player, Task, WeightRef, mean_of
from gen.tasks.ranked_batch import answered, one_a_row, ranked


@dataclasses.dataclass(frozen=True)
class DPOTaskConfig(Bounded):
    """`answers` is the most that a prompt of the data has; `beta` is how much a log-probability is worth."""

    name: Literal["dpo"] = "dpo"
    answers: Annotated[int, at_least(2)] = 2
    beta: Positive = 0.1
    chunk: Count = 4096


class DPOTask(Task):
    def __init__(self, cfg: DPOTaskConfig, model: LMConfig):
        self.cfg, self.model = cfg, model
        self.players = {"model": Player(lm_spec(model))}
        self.origin = {"policy": WeightRef("sft", lm_spec(model))}
        self.frozen = {"reference": WeightRef("sft", lm_spec(model))}

    def begin(self, drawn, origin):
        return {"model": origin["policy"]}

    def batch(self, size: int) -> Batch:
        return ranked(size, self.cfg.answers, self.model.context)

    def prepare(self, players, batch: Batch, context: LossContext) -> Batch:
        return {**batch, "reference": self._log_p(context.frozen["reference"], batch)}

    def loss(self, player: str, params: Params, batch: Batch, context: LossContext) -> tuple[Mean, Metrics]:
        gain_BK = self._log_p(params, batch) - batch["reference"]
        compared = pairwise(self.cfg.beta * gain_BK, batch["rank"])
        weight_B = (compared.pairs_B > 0) * batch.get("weight", 1.0)
        best_B = jnp.where(batch["rank"] == 0, gain_BK, 0.0).sum(1) / jnp.maximum((batch["rank"] == 0).sum(1), 1)
        metrics = {"accuracy": mean_of(compared.correct_B, weight_B), "best_gain": mean_of(best_B, weight_B)}
        return mean_of(compared.loss_B, weight_B), metrics

    def _log_p(self, params: Params, batch: Batch) -> Float[Array, "B K"]:
        """The log-probability of each whole answer, its end included."""
        log_p_NU = rollout.read(params, one_a_row(batch["tokens"]), self.model, chunk=self.cfg.chunk).log_p_BT
        return jnp.where(answered(batch), log_p_NU.reshape(*batch["rank"].shape, -1), 0.0).sum(-1)
