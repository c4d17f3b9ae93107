"""Supervised fine-tuning of a language model on conversations: the loss is that of the assistant's tokens alone.

Rows hold whole conversations, each with positions of its own (gen/data/conversations.py); what counts, the assistant's
words and the ends of its turns, is in `weights`. The run begins from the weights of `upstream.base`.
"""

import dataclasses
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array

from gen.bounds import Bounded, Count, NotNegative
from gen.config import resumable
from gen.models.lm import LMConfig, lm_spec
from gen.sample.generate import GenerateConfig, generate
from gen.sample.sampling_params import SamplingParams
from gen.tasks.base import Batch, LossContext, WeightRef
from gen.tasks.lm import LMTask, LMTaskConfig


@dataclasses.dataclass(frozen=True)
class ChatTaskConfig(Bounded):
    """`chunk` is how many tokens are scored at once; answers shown in training are chosen as `sampler` says."""

    name: Literal["chat"] = "chat"
    chunk: Count = 4096
    balance: NotNegative = 0.01
    router_z: NotNegative = 0.001
    sampler: SamplingParams = resumable(SamplingParams(temperature=0.0))


class ChatTask(LMTask):
    """`end` is the token that ends a turn."""

    def __init__(self, cfg: ChatTaskConfig, model: LMConfig, end: int, vocab: int | None = None):
        own = LMTaskConfig(balance=cfg.balance, router_z=cfg.router_z, chunk=cfg.chunk, prompt=1, sampler=cfg.sampler)
        super().__init__(own, model, vocab)
        self.end = end
        self.origin = {"base": WeightRef("base", lm_spec(model))}

    def begin(self, drawn, origin):
        return {"model": origin["base"]}

    def sample(self, players, batch: Batch, context: LossContext) -> dict[str, Array]:
        """The first answer of each held-out conversation as the model gives it, behind what it is asked."""
        tokens_BT = batch["tokens"]
        asked_B = jnp.argmax(batch["weights"] > 0, axis=1).astype(jnp.int32) + 1
        written = generate(
            players["model"],
            tokens_BT,
            asked_B,
            jnp.full_like(asked_B, tokens_BT.shape[1]),
            context.keys("write", batch["row"]),
            self.model,
            GenerateConfig(self.cfg.sampler, ends=(self.end,), vocab=self.vocab),
            slots=tokens_BT.shape[1],
        )
        return {"text": written.tokens_BS}
