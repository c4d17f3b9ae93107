"""Training a language model: the cross-entropy of each next token, within documents.

A row is a piece of a long stream of documents (gen/data/packing.py). Each token sees those of its own document, and
positions restart with it; what the loss counts is in `weights`.
"""

import dataclasses
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array

from gen.bounds import Bounded, Count, NotNegative
from gen.config import resumable
from gen.losses.lm import cross_entropy
from gen.models.lm import LMConfig, head, lm_spec, serving, states
from gen.sample.generate import GenerateConfig, generate
from gen.sample.sampling_params import SamplingParams
from gen.spec import Params
from gen.tasks.base import Batch, LossContext, Mean, Metrics, Player, Task


@dataclasses.dataclass(frozen=True)
class LMTaskConfig(Bounded):
    """`z_loss` weighs the square of each logsumexp (PaLM: 1e-4), `balance` the load loss of experts, and `router_z` the
    size of their router's logits.

    `across_documents` lets tokens see, and positions count, past the start of their document, as GPT-2 and GPT-3 did.
    `chunk` is how many tokens are scored at once. Samples shown in training continue the first `prompt` tokens of
    held-out rows, as `sampler` says.
    """

    name: Literal["lm"] = "lm"
    z_loss: NotNegative = 0.0
    balance: NotNegative = 0.01
    router_z: NotNegative = 0.001
    across_documents: bool = False
    chunk: Count = 4096
    prompt: Count = resumable(32)
    sampler: SamplingParams = resumable(SamplingParams(temperature=0.8, top_p=0.95))


def without_experts(cfg: LMTaskConfig, model: LMConfig) -> dict[str, str]:
    """What `Task.unused` says of the losses of experts, where there are none."""
    own = ("balance", "router_z") if model.transformer.experts is None else ()
    defaults = LMTaskConfig()
    why = "the model has no experts"
    return {f"task.{key}": why for key in own if getattr(cfg, key) != getattr(defaults, key)}


class LMTask(Task):
    """`vocab` is the size of the tokenizer, if it is less than the model's: samples have no other ids."""

    def __init__(self, cfg: LMTaskConfig, model: LMConfig, vocab: int | None = None):
        if cfg.prompt >= model.context:
            raise ValueError(f"task.prompt={cfg.prompt} must leave room in model.context={model.context}")
        self.cfg, self.model, self.vocab = cfg, model, vocab
        self.players = {"model": Player(lm_spec(model))}

    def unused(self) -> dict[str, str]:
        return without_experts(self.cfg, self.model)

    def batch(self, size: int) -> Batch:
        shape = (size, self.model.context)
        names = ("tokens", "targets", "segments", "positions")
        whole = {name: jax.ShapeDtypeStruct(shape, jnp.int32) for name in names}
        return whole | {"weights": jax.ShapeDtypeStruct(shape, jnp.float32)}

    def loss(self, player: str, params: Params, batch: Batch, context: LossContext) -> tuple[Mean, Metrics]:
        model = serving(self.model) if context.training is None else self.model
        weight_BT = batch["weights"]  # 0 in rows that only fill a last evaluation batch
        key_B = context.keys("dropout", batch["row"]) if model.transformer.dropout > 0 else None
        within = {"segment_BT": batch["segments"], "position_BT": batch["positions"]}
        within = {} if self.cfg.across_documents else within
        read = states(params, batch["tokens"], model, **within, key_B=key_B)
        loss, totals = cross_entropy(
            read.states_BTD,
            head(params),
            batch["targets"],
            weight_BT,
            vocab=self.model.vocab,
            z_loss=self.cfg.z_loss,
            chunk=self.cfg.chunk,
        )
        weight = weight_BT.sum()
        metrics = {"cross_entropy": Mean(totals.nats, weight), "accuracy": Mean(totals.correct, weight)}
        if "bytes" in batch:
            metrics["bits_per_byte"] = Mean(totals.nats / math.log(2), batch["bytes"].sum())
        if read.balance is not None:
            load, z = read.balance.load_balancing.mean(), read.balance.z.mean()
            loss = loss + weight * (self.cfg.balance * load + self.cfg.router_z * z)
            metrics |= {"expert_load": Mean(load * weight, weight), "router_z": Mean(z * weight, weight)}
        return Mean(loss, weight), metrics

    def derived(self, metrics: dict[str, float]) -> dict[str, float]:
        return {"perplexity": math.exp(min(metrics["cross_entropy"], 700.0))}

    def sample(self, players: Any, batch: Batch, context: LossContext) -> dict[str, Array]:
        """Held-out rows whose first `prompt` tokens are real and the rest written, {"text": (N, T)} of token ids."""
        size, length = batch["tokens"].shape
        rows = jnp.ones(size, jnp.int32)
        written = generate(
            players["model"],
            batch["tokens"],  # whole, so that any mesh that trains the rows can cut them; what follows is not seen
            rows * self.cfg.prompt,
            rows * length,
            context.keys("write", batch["row"]),
            self.model,
            GenerateConfig(self.cfg.sampler, vocab=self.vocab),
            slots=length,
        )
        return {"text": written.tokens_BS}
