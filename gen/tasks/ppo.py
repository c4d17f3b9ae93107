"""Proximal policy optimisation of a language model against a reward model, as InstructGPT was (arXiv 2203.02155).

In each step the policy answers a batch of prompts. An answer's reward is what the reward model says of its end, less
what every token of it costs by leaving the reference:

    r_u = -beta (log pi(u) - log pi_ref(u)) + [u is last] (R(answer) - mean R of demonstrations)

Advantages come from a value model of its own, which begins as the reward model, zero included (losses/policy.py). Then
policy and value take `epochs` x `minibatches` updates. With pretraining rows in the data, `pretrain` times their
cross-entropy joins the policy's loss (PPO-ptx).
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from gen import spec
from gen.bounds import Count, Fraction, NotNegative, Positive
from gen.losses.policy import adapt_kl_coefficient, advantages, policy_loss, value_loss, whiten
from gen.models.lm import LMConfig, lm_spec, serving
from gen.models.lm_with_head import lm_with_head
from gen.spec import Params, Spec
from gen.tasks import rollout
from gen.tasks.base import Batch, LossContext, Mean, Metrics, Player, WeightRef
from gen.tasks.lm import LMTask, LMTaskConfig
from gen.tasks.policy import PolicyTask, UpdatesConfig
from gen.tasks.reward import judging

TEXT = "pretrain/"  # how the names of a batch's second part begin


HORIZON, PRETRAIN = 10_000, 27.8  # InstructGPT's weight of the pretraining loss


@dataclasses.dataclass(frozen=True)
class PPOTaskConfig(UpdatesConfig):
    """`kl` is beta. With a `target`, in nats an answer, beta follows it over `horizon` answers.

    `discount` and `trace` are GAE's gamma and lambda; `value_clip` bounds what an update changes of a value.
    """

    name: Literal["ppo"] = "ppo"
    minibatches: Count = 8
    kl: NotNegative = 0.02
    target: Positive | None = None
    horizon: Count = HORIZON
    discount: Fraction = 1.0
    trace: Fraction = 0.95
    value_clip: Positive = 0.2
    pretrain: NotNegative = PRETRAIN

    def unused(self) -> dict[str, str]:
        return {} if self.target or self.horizon == HORIZON else {"horizon": "beta follows no target; set target"}


class PPOTask(PolicyTask):
    """`judge` is the config of the reward model; `pretrain_rows` is how many the data has beside each prompt."""

    def __init__(
        self,
        cfg: PPOTaskConfig,
        model: LMConfig,
        judge: LMConfig,
        end: int,
        pretrain_rows: int = 0,
        vocab: int | None = None,
    ):
        super().__init__(cfg, model, end, vocab)
        self.judge, self.pretrain_rows = judge, pretrain_rows
        self.language = LMTask(LMTaskConfig(chunk=cfg.rollout.chunk, prompt=1), model)
        policy, judges = WeightRef("sft", lm_spec(model)), judging(judge)
        value = judges["judge"]
        self.players = {"model": Player(policy.specs), "value": Player(value.specs)}
        self.origin = {"model": policy, "value": value}
        self.frozen = {"reference": policy, **judges}
        self.extra = {"beta": Spec((), (), spec.constant(cfg.kl))}

    def unused(self) -> dict[str, str]:
        alone = not self.pretrain_rows and self.cfg.pretrain != PRETRAIN
        return {"task.pretrain": "there are no rows of text; set data.pretrain"} if alone else {}

    def begin(self, drawn, origin):
        return origin

    def batch(self, size: int) -> Batch:
        rows = (size, self.pretrain_rows, self.model.context)
        of_text = {f"{TEXT}{name}": jax.ShapeDtypeStruct(rows, x.dtype) for name, x in self.language.batch(1).items()}
        return {**super().batch(size), **(of_text if self.pretrain_rows else {})}

    def prepare(self, players, batch: Batch, context: LossContext) -> Batch:
        frozen = context.frozen
        written = self.answers(players["model"], batch, context)
        tokens_BT, chosen_BU = written.tokens_BT, written.response_mask_BU
        log_p_BU = self.read(players["model"], tokens_BT).log_p_BT
        gap_BU = jnp.where(chosen_BU, log_p_BU - self.read(frozen["reference"], tokens_BT).log_p_BT, 0.0)
        score_B = rollout.reward(frozen["judge"], frozen["offset"], written, self.judge, self.cfg.rollout)
        last_BU = jnp.arange(gap_BU.shape[1]) == (written.length_B - 2)[:, None]
        reward_BU = jnp.where(last_BU, score_B[:, None], 0.0) - context.extra["beta"] * gap_BU
        value_BU = self._values(players["value"], tokens_BT, frozen["offset"])
        how = {"discount": self.cfg.discount, "trace": self.cfg.trace}
        advantage_BU = advantages(reward_BU, value_BU, chosen_BU, **how)
        known = self.answer_metrics(written, batch) | {"score": score_B, "kl": gap_BU.sum(1), "log_p": log_p_BU}
        learned = {"advantage": advantage_BU, "value": value_BU, "return": advantage_BU + value_BU}
        return known | learned | {name: x for name, x in batch.items() if name.startswith(TEXT)}

    def minibatch(self, prepared: Batch, update: Int[Array, ""], key: Key[Array, ""]) -> Batch:
        """With a weight for each choice. All weights add up to the rows, here and of the text beside them, so that a
        mean over choices and a mean over tokens can be taken together, also from micro-batches."""
        part = dict(super().minibatch(prepared, update, key))
        rows = float(part["tokens"].shape[0])
        part["weight"] = part["chosen"] * (rows / part["chosen"].sum())
        part["advantage"] = whiten(part["advantage"], part["weight"])
        if self.pretrain_rows:
            part[f"{TEXT}weights"] *= rows / part[f"{TEXT}weights"].sum()
        return part

    def loss(self, player: str, params: Params, batch: Batch, context: LossContext) -> tuple[Mean, Metrics]:
        mean = lambda x_BU: Mean((x_BU * batch["weight"]).sum(), float(x_BU.shape[0]))
        if player == "value":
            value_BU = self._values(params, batch["tokens"], context.frozen["offset"])
            return mean(value_loss(value_BU, batch["value"], batch["return"], self.cfg.value_clip)), {}
        said = self.read(params, batch["tokens"])
        loss_BU, clipped_BU = policy_loss(said.log_p_BT, batch["log_p"], batch["advantage"], self.cfg.clip)
        loss, metrics = mean(loss_BU), self.described(batch)
        metrics |= {"entropy": mean(said.entropy_BT), "clipped": mean(clipped_BU.astype(jnp.float32))}
        metrics["beta"] = Mean(context.extra["beta"], 1.0)
        if self.pretrain_rows:
            metrics["pretrain"] = self._pretraining(params, batch, context)
            loss = loss._replace(total=loss.total + self.cfg.pretrain * metrics["pretrain"].total)
        return loss, metrics

    def after(self, players, prepared: Batch, metrics: Metrics, context: LossContext) -> Params:
        beta, cfg = context.extra["beta"], self.cfg
        if cfg.target is None:
            return {"beta": beta}
        return {
            "beta": adapt_kl_coefficient(beta, prepared["kl"].mean(), cfg.target, len(prepared["kl"]) / cfg.horizon)
        }

    def _values(self, params: Params, tokens_BT: Int[Array, "B T"], offset: Params) -> Float[Array, "B U"]:
        """What the text before each choice is worth, above demonstrations as rewards are: with the scores' own zero the
        value model, which begins as the reward model, would be wrong by the same amount everywhere."""
        return lm_with_head(params, tokens_BT[:, :-1], serving(self.judge))[..., 0] - offset["demonstrations"]

    def _pretraining(self, params: Params, batch: Batch, context: LossContext) -> Mean:
        text = {name.removeprefix(TEXT): x for name, x in batch.items() if name.startswith(TEXT)}
        rows = {name: x.reshape(-1, x.shape[-1]) for name, x in text.items()}
        return self.language.loss("model", params, rows, context._replace(training=None))[0]
