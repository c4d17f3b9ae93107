"""What PPO and GRPO share: prompts in, answers rewarded, and a batch's answers cut into several updates.

A batch has prompts, `tokens` (B, P) of which `length` are real, and what is known to be right, `answer` (B, new) of
`answer_length`. `prepare` makes of it, by name, row by row:

    tokens, chosen              the texts, and which of their tokens the policy chose
    log_p, advantage            of each choice
    score, kl, finished, right  of each answer: its reward, what it cost to leave the reference, how it ended
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from gen import rng
from gen.bounds import Bounded, Count, Positive
from gen.models.lm import LMConfig
from gen.spec import Params
from gen.tasks import rollout
from gen.tasks.base import Batch, LossContext, Mean, Metrics, Task, mean_of
from gen.tasks.rollout import Rollout, RolloutConfig

OF_ANSWERS = ("score", "kl", "finished", "right")


@dataclasses.dataclass(frozen=True)
class UpdatesConfig(Bounded):
    """A batch is gone through `epochs` times, in `minibatches` parts; `clip` bounds what an update changes."""

    rollout: RolloutConfig = RolloutConfig()
    epochs: Count = 1
    minibatches: Count = 1
    clip: Positive = 0.2


class PolicyTask(Task):
    """`end` is the token that ends an answer, `copies` how many answers a prompt gets, `vocab` the tokenizer's size."""

    copies = 1

    def __init__(self, cfg: Any, model: LMConfig, end: int, vocab: int | None = None):
        if not cfg.rollout.new < model.context:
            raise ValueError(f"task.rollout.new={cfg.rollout.new} must leave room in model.context={model.context}")
        self.cfg, self.model, self.end, self.vocab = cfg, model, end, vocab
        self.inner_updates = cfg.epochs * cfg.minibatches

    def rows(self, size: int) -> int:
        return size * self.copies // self.cfg.minibatches

    def batch(self, size: int) -> Batch:
        if size * self.copies % self.cfg.minibatches:
            raise ValueError(f"train.batch_size={size} does not divide into task.minibatches={self.cfg.minibatches}")
        new, context = self.cfg.rollout.new, self.model.context
        int32 = lambda *shape: jax.ShapeDtypeStruct((size, *shape), jnp.int32)
        return {"tokens": int32(context - new), "length": int32(), "answer": int32(new), "answer_length": int32()}

    def minibatch(self, prepared: Batch, update: Int[Array, ""], key: Key[Array, ""]) -> Batch:
        """Each epoch takes the answers in an order of its own."""
        epoch, number = jnp.divmod(update, self.cfg.minibatches)
        count = prepared["tokens"].shape[0]
        size = count // self.cfg.minibatches
        order_B = jax.random.permutation(rng.fold(key, epoch), count)
        own_N = jax.lax.dynamic_slice_in_dim(order_B, number * size, size)
        return {name: x[own_N] for name, x in prepared.items()}

    def evaluate(self, players, batch: Batch, context: LossContext) -> Metrics:
        """How held-out prompts are answered; nothing is learned."""
        prepared = self.prepare(players, batch, context)
        return self.described(prepared, jnp.repeat(batch["weight"], self.copies))

    def described(self, prepared: Batch, weight_B: Float[Array, "B"] | None = None) -> dict[str, Mean]:
        """Metrics of answers."""
        length_B = prepared["chosen"].sum(1).astype(jnp.float32)
        own = {name: mean_of(prepared[name], weight_B) for name in OF_ANSWERS}
        return own | {"length": mean_of(length_B, weight_B)}

    def sample(self, players, batch: Batch, context: LossContext) -> dict[str, Array]:
        return {"text": self.answers(players["model"], batch, context).tokens_BT[:: self.copies]}

    def answers(self, params: Params, batch: Batch, context: LossContext) -> Rollout:
        row_R = jnp.repeat(batch["row"], self.copies) * self.copies
        row_R += jnp.arange(len(row_R), dtype=row_R.dtype) % self.copies
        key_R = context.keys("answer", row_R)
        how = self.cfg.rollout
        return rollout.roll_out(params, batch, key_R, self.model, how, self.end, self.copies, self.vocab)

    def read(self, params: Params, tokens_BT: Int[Array, "B T"]):
        """How likely each choice is."""
        how = self.cfg.rollout
        return rollout.read(params, tokens_BT, self.model, chunk=how.chunk, temperature=how.temperature)

    def answer_metrics(self, written: Rollout, batch: Batch) -> dict[str, Array]:
        """What is known of answers before they are rewarded."""
        right_B = rollout.correct(written, batch, self.copies)
        as_numbers = {"finished": written.finished_B, "right": right_B}
        texts = {"tokens": written.tokens_BT, "chosen": written.response_mask_BU}
        return texts | {name: x.astype(jnp.float32) for name, x in as_numbers.items()}
