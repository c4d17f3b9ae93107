"""Group relative policy optimisation (Shao et al. 2024, arXiv 2402.03300): PPO without a value model.

A prompt gets a group of answers, and an answer's advantage is how much better than its group it was rewarded:

    A_i = (R_i - mean R) / std R
    loss = mean over answers of (mean over tokens of clipped policy loss + beta KL(pi || pi_ref))

The reward is a reward model's (`upstream.reward`), or, where the data knows the answers, 1 for a right one.
"""

import dataclasses
from typing import Annotated, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from gen.bounds import NotNegative, at_least
from gen.losses.policy import kl_estimate, policy_loss
from gen.models.lm import LMConfig, lm_spec
from gen.spec import Params
from gen.tasks import rollout
from gen.tasks.base import Batch, LossContext, Mean, Metrics, Player, WeightRef
from gen.tasks.policy import PolicyTask, UpdatesConfig
from gen.tasks.reward import judging


@dataclasses.dataclass(frozen=True)
class GRPOTaskConfig(UpdatesConfig):
    """`group` is how many answers a prompt gets, `kl` is beta, `reward` who rewards."""

    name: Literal["grpo"] = "grpo"
    reward: Literal["model", "answer"] = "model"
    group: Annotated[int, at_least(2)] = 8
    kl: NotNegative = 0.04


class GRPOTask(PolicyTask):
    """`judge` is the config of the reward model, if one rewards."""

    def __init__(
        self,
        cfg: GRPOTaskConfig,
        model: LMConfig,
        end: int,
        judge: LMConfig | None = None,
        vocab: int | None = None,
    ):
        super().__init__(cfg, model, end, vocab)
        if cfg.reward == "model" and judge is None:
            raise ValueError("the reward model of task.reward=model is missing: set upstream.reward=DIR")
        self.judge, self.copies = judge if cfg.reward == "model" else None, cfg.group
        policy = WeightRef("sft", lm_spec(model))
        self.players = {"model": Player(policy.specs)}
        self.origin, self.frozen = {"model": policy}, {"reference": policy}
        if self.judge is not None:
            self.frozen |= judging(self.judge)

    def begin(self, drawn, origin):
        return origin

    def prepare(self, players, batch: Batch, context: LossContext) -> Batch:
        written = self.answers(players["model"], batch, context)
        log_p_BU = self.read(players["model"], written.tokens_BT).log_p_BT
        reference_BU = self.read(context.frozen["reference"], written.tokens_BT).log_p_BT
        known = self.answer_metrics(written, batch)
        score_B = known["right"]
        if self.judge is not None:
            frozen = context.frozen
            score_B = rollout.reward(frozen["judge"], frozen["offset"], written, self.judge, self.cfg.rollout)
        kl_B = jnp.where(written.response_mask_BU, log_p_BU - reference_BU, 0.0).sum(1)
        advantage_BU = jnp.broadcast_to(in_group(score_B, self.copies)[:, None], log_p_BU.shape)
        learned = {"advantage": advantage_BU, "log_p": log_p_BU, "reference": reference_BU}
        return known | learned | {"score": score_B, "kl": kl_B}

    def loss(self, player: str, params: Params, batch: Batch, context: LossContext) -> tuple[Mean, Metrics]:
        share_BU = batch["chosen"] / batch["chosen"].sum(1, keepdims=True)
        mean = lambda x_BU: Mean((x_BU * share_BU).sum(), float(x_BU.shape[0]))
        said = self.read(params, batch["tokens"])
        loss_BU, clipped_BU = policy_loss(said.log_p_BT, batch["log_p"], batch["advantage"], self.cfg.clip)
        loss_BU += self.cfg.kl * kl_estimate(said.log_p_BT, batch["reference"])
        more = {"entropy": mean(said.entropy_BT), "clipped": mean(clipped_BU.astype(jnp.float32))}
        return mean(loss_BU), self.described(batch) | more


def in_group(reward_R: Float[Array, "R"], group: int) -> Float[Array, "R"]:
    """Each reward's distance from its group's mean, in the group's deviations; 0 where all are alike."""
    reward_BG = reward_R.reshape(-1, group)
    away_BG = reward_BG - reward_BG.mean(1, keepdims=True)
    return (away_BG / (reward_BG.std(1, keepdims=True) + 1e-6)).reshape(-1)
