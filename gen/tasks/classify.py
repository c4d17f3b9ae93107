"""Classification of texts by a language model (GPT, Radford et al. 2018, section 3.2): which of C classes a text is of.

A row is start, the text, end (gen/data/classes.py). A linear head reads the state of the end (lm_with_head.py):

    loss = -log p(label | text) + language * mean_t -log p(token_t | tokens before)

The second part is the paper's auxiliary objective, there with the weight 0.5. The run begins from the weights of
`upstream.base`.
"""

import dataclasses
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen.bounds import Bounded, Count, NotNegative, at_least
from gen.evals import f1
from gen.models.lm import LMConfig, lm_spec, serving, states
from gen.models.lm_with_head import apply_head, last_token, lm_with_head_spec, replace_head
from gen.spec import Params
from gen.tasks import auxiliary
from gen.tasks.base import Batch, LossContext, Mean, Metrics, Player, Task, WeightRef, mean_of

CHUNK = 4096


@dataclasses.dataclass(frozen=True)
class ClassifyTaskConfig(Bounded):
    """`classes` is the number of labels that the data has. `language` weighs the loss of the texts themselves, whose
    tokens are scored `chunk` at a time."""

    classes: Annotated[int, at_least(2)]
    name: Literal["classify"] = "classify"
    language: NotNegative = 0.0
    chunk: Count = CHUNK

    def unused(self) -> dict[str, str]:
        return {} if self.language or self.chunk == CHUNK else {"chunk": "no tokens are scored where language=0"}


class ClassifyTask(Task):
    def __init__(self, cfg: ClassifyTaskConfig, model: LMConfig):
        auxiliary.check(cfg.language, model)
        self.cfg, self.model = cfg, model
        self.players = {"model": Player(lm_with_head_spec(model, cfg.classes))}
        self.origin = {"base": WeightRef("base", lm_spec(model))}

    def begin(self, drawn, origin):
        return {"model": replace_head(origin["base"], drawn["model"])}

    def batch(self, size: int) -> Batch:
        row = {"length": jax.ShapeDtypeStruct((size,), jnp.int32), "label": jax.ShapeDtypeStruct((size,), jnp.int32)}
        return {"tokens": jax.ShapeDtypeStruct((size, self.model.context), jnp.int32), **row}

    def loss(self, player: str, params: Params, batch: Batch, context: LossContext) -> tuple[Mean, Metrics]:
        return self._compared(params, batch, context)[:2]

    def evaluate(self, players: Any, batch: Batch, context: LossContext) -> Metrics:
        """With the confusion matrix: how many texts of a class (row) were taken for which (column)."""
        loss, metrics, logits_BC = self._compared(players["model"], batch, context)
        label_BC = jax.nn.one_hot(batch["label"], self.cfg.classes) * batch["weight"][:, None]
        guess_BC = jax.nn.one_hot(logits_BC.argmax(-1), self.cfg.classes)
        confusion_CC = jnp.einsum("bc,bg->cg", label_BC, guess_BC, precision="highest")
        return {"loss": loss, **metrics, "_confusion": Mean(confusion_CC, batch["weight"].sum())}

    def derived(self, metrics: dict[str, Any]) -> dict[str, float]:
        return {"f1": f1.macro(metrics["_confusion"])}

    def _compared(
        self, params: Params, batch: Batch, context: LossContext
    ) -> tuple[Mean, dict[str, Mean], Float[Array, "B C"]]:
        """The loss, metrics, and the scores of the classes."""
        model = serving(self.model) if context.training is None else self.model
        key_B = context.keys("dropout", batch["row"]) if model.transformer.dropout > 0 else None
        states_BTD = states(params["lm"], batch["tokens"], model, key_B=key_B).states_BTD
        logits_BC = apply_head(params, last_token(states_BTD, batch["length"]))
        log_p_BC = jax.nn.log_softmax(logits_BC)
        nats_B = -jnp.take_along_axis(log_p_BC, batch["label"][:, None], axis=1)[:, 0]
        right_B = (logits_BC.argmax(-1) == batch["label"]).astype(jnp.float32)
        weight_B = batch.get("weight", jnp.ones_like(right_B))
        loss = mean_of(nats_B, weight_B)
        metrics = {"cross_entropy": loss, "accuracy": mean_of(right_B, weight_B)}
        if self.cfg.language:
            tokens_BT = batch["tokens"]
            counts_BU = jnp.arange(1, tokens_BT.shape[1]) < batch["length"][:, None]
            language = auxiliary.language(
                params["lm"], states_BTD, tokens_BT, counts_BU, weight_B, self.model, self.cfg.chunk
            )
            metrics["language"] = language
            loss = Mean(loss.total + self.cfg.language * language.total, loss.weight)
        return loss, metrics, logits_BC
