"""Training CLIP: match every picture of the batch with its caption among all captions of the batch.

Micro-batches keep all their negatives (Gao et al. 2021, arXiv 2101.06983): embeddings of the whole batch first,
micro-batch by micro-batch and without gradients; then the loss and its gradient by the embeddings; then each
micro-batch again, pulling that gradient back to the weights. The result is that of the one big batch.
"""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen.bounds import Bounded
from gen.losses import contrastive
from gen.models.clip import CLIPConfig, clip_spec, encode_image, encode_text
from gen.models.embedding import l2_normalize
from gen.spec import Params
from gen.tasks.base import Batch, LossContext, Mean, Metrics, Player, Task, mean_of, micro_batch
from gen.tasks.image_batch import captioned, pixels

LARGEST_SCALE = 100.0


@dataclasses.dataclass(frozen=True)
class CLIPTaskConfig(Bounded):
    """CLIP has no settings beside its model; the loss is the model's, as its parameters depend on it."""

    name: Literal["clip"] = "clip"


class Embeddings(NamedTuple):
    image_BE: Float[Array, "B E"]
    text_BE: Float[Array, "B E"]


class CLIPTask(Task):
    def __init__(self, cfg: CLIPTaskConfig, model: CLIPConfig, resolution: int):
        """`resolution` is that of the data's pictures."""
        self.model, self.resolution = model, resolution
        self.players = {"model": Player(clip_spec(model))}

    def batch(self, size: int) -> Batch:
        return captioned(size, self.resolution, self.model.text.context)

    def embed(self, params: Params, batch: Batch) -> Embeddings:
        """Embeddings of unit length."""
        x_BYXC = pixels(batch["image"], self.model.image.resolution)
        image_BE = encode_image(params, x_BYXC, self.model)
        return Embeddings(
            l2_normalize(image_BE), l2_normalize(encode_text(params, batch["tokens"], self.model).embedding_BE)
        )

    def compare(self, params: Params, embeddings: Embeddings, weight_B: Array | None = None) -> tuple[Mean, Metrics]:
        """The loss of all pairs; rows of weight 0 are left out, also as negatives."""
        similarity_BB = contrastive.similarities(*embeddings)
        scale = contrastive.at_most(jnp.exp(params["logit_scale"]), LARGEST_SCALE)
        logits_BB = scale * similarity_BB + params.get("logit_bias", 0.0)
        if weight_B is not None:
            counts_BB = (weight_B[:, None] * weight_B[None, :] > 0) | jnp.eye(len(weight_B), dtype=bool)
            logits_BB = jnp.where(counts_BB, logits_BB, -1e9)
        loss_B = contrastive.sigmoid(logits_BB) if self.model.loss == "sigmoid" else contrastive.softmax(logits_BB)
        right_B = (logits_BB.argmax(1) == jnp.arange(len(logits_BB))).astype(jnp.float32)
        metrics = {"accuracy": mean_of(right_B, weight_B), "logit_scale": Mean(scale, 1.0)}
        return mean_of(loss_B, weight_B), metrics

    def loss(self, player: str, params: Params, batch: Batch, context: LossContext) -> tuple[Mean, Metrics]:
        return self.compare(params, self.embed(params, batch), batch.get("weight"))

    def gradients(
        self, player: str, params: Params, batch: Batch, context: LossContext, micro_batches: int
    ) -> tuple[Mean, Metrics, Params]:
        if micro_batches == 1:
            return super().gradients(player, params, batch, context, 1)
        parts = micro_batch(batch, micro_batches)
        embeddings = jax.lax.map(lambda part: self.embed(params, part), parts)

        def total(params: Params, embeddings: Embeddings):
            whole = Embeddings(*(z.reshape(-1, z.shape[-1]) for z in embeddings))
            mean, metrics = self.compare(params, whole)
            return mean.total, (mean, metrics)

        (grads, by_embedding), (mean, metrics) = jax.grad(total, argnums=(0, 1), has_aux=True)(params, embeddings)

        def pull_back(grads: Params, part_and_cotangent):
            part, cotangent = part_and_cotangent
            pulled = jax.vjp(lambda p: self.embed(p, part), params)[1](cotangent)[0]
            return jax.tree.map(jnp.add, grads, pulled), None

        grads, _ = jax.lax.scan(pull_back, grads, (parts, by_embedding))
        return mean, metrics, grads
