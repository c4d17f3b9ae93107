"""Training the unCLIP decoder: a picture's noise from its CLIP image embedding and caption (arXiv 2204.06125, 2.1)."""

import dataclasses
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Key

from gen import rng
from gen.bounds import Bounded, Fraction
from gen.config import resumable
from gen.diffusion.prediction import Prediction
from gen.diffusion.process import Process
from gen.losses import diffusion
from gen.models.clip import CLIPConfig, TextEncoding, clip_spec, encode_image, encode_text
from gen.models.decoder import Condition, DecoderConfig, decoder, decoder_spec, encode
from gen.models.embedding import unit_variance
from gen.sample.unclip import DECODER, SamplerConfig, draw_picture
from gen.spec import Params
from gen.tasks.base import Batch, LossContext, Mean, Metrics, Player, Task, WeightRef, mean_of
from gen.tasks.image_batch import captioned, check_fit, pixels


@dataclasses.dataclass(frozen=True)
class DecoderTaskConfig(Bounded):
    """`image_drop` and `text_drop` are the shares of examples, drawn apart, without image embedding or caption."""

    name: Literal["decoder"] = "decoder"
    process: Process = Process("cosine", 1000, "eps")
    image_drop: Fraction = 0.1
    text_drop: Fraction = 0.5
    sampler: SamplerConfig = resumable(SamplerConfig(solver="ddpm", steps=250, variance="learned", guidance_scale=1.25))


class DecoderTask(Task):
    def __init__(self, cfg: DecoderTaskConfig, model: DecoderConfig, clip: CLIPConfig, resolution: int):
        """`resolution` is that of the data's pictures. Raises ValueError where decoder and CLIP do not fit together."""
        check_fit("embed", model.embed, clip.embed)
        if model.caption is None:
            check_fit("states", model.states, clip.text.transformer.width)
        else:
            check_fit("caption.context", model.caption.context, clip.text.context)
            check_fit("caption.vocab", model.caption.vocab, clip.text.vocab)
        if (model.unet.in_channels, model.unet.out_channels) != (3, 6):
            raise ValueError(
                "the decoder reads a picture and predicts its noise and variance:"
                " set model.unet.in_channels=3, out_channels=6"
            )
        cfg.sampler.check("task.sampler", cfg.process, DECODER)
        self.cfg, self.model, self.clip, self.resolution = cfg, model, clip, resolution
        self.players = {"model": Player(decoder_spec(model))}
        self.frozen = {"clip": WeightRef("clip", clip_spec(clip))}

    def unused(self) -> dict[str, str]:
        return self.cfg.sampler.idle("task.sampler", DECODER)

    def batch(self, size: int) -> Batch:
        return captioned(size, self.resolution, self.clip.text.context)

    def prepare(self, players, batch: Batch, context: LossContext) -> Batch:
        frozen = context.frozen["clip"]
        image_BE = encode_image(frozen, pixels(batch["image"], self.clip.image.resolution), self.clip)
        text = encode_text(frozen, batch["tokens"], self.clip)
        condition = make_condition(image_BE, batch["tokens"], text, self.model)
        return {**batch, "x0": pixels(batch["image"], self.model.unet.resolution), "condition": condition}

    def loss(self, player: str, params: Params, batch: Batch, context: LossContext) -> tuple[Mean, Metrics]:
        key = lambda purpose: context.keys(purpose, batch["row"])
        dropout_key_B = None if context.training is None else key("dropout")
        process, x0_BYXC, weight_B = self.cfg.process, batch["x0"], batch.get("weight")
        noise_BYXC = rng.normal(key("noise"), x0_BYXC.shape[1:])
        t_B = process.draw_times(key("time"))
        x_BYXC = process.corrupt(x0_BYXC, noise_BYXC, t_B)
        condition = self.drop(batch["condition"], key("image_drop"), key("text_drop"))
        y_BYXC = decoder(params, x_BYXC, t_B, encode(params, condition, self.model), self.model, dropout_key_B)
        prediction = Prediction(*jnp.split(y_BYXC, 2, axis=-1))
        loss_B = diffusion.hybrid(prediction, x0_BYXC, noise_BYXC, t_B, process)
        mse_B = diffusion.simple(prediction, x0_BYXC, noise_BYXC, t_B, process)
        return mean_of(loss_B, weight_B), {"mse": mean_of(mse_B, weight_B)}

    def drop(self, condition: Condition, image_key_B: Key[Array, "B"], text_key_B: Key[Array, "B"]) -> Condition:
        text_kept_B1 = ~rng.bernoulli(text_key_B, self.cfg.text_drop)[:, None]
        return condition._replace(
            keep_image_B=~rng.bernoulli(image_key_B, self.cfg.image_drop),
            mask_BT=condition.mask_BT & text_kept_B1,
            text_BE=None if condition.text_BE is None else condition.text_BE * text_kept_B1,
        )

    def sample(self, players, batch: Batch, context: LossContext):
        prepared = self.prepare(players, batch, context)
        key_B = rng.per_example(context.key, batch["row"])
        drawn = draw_picture(
            players["model"],
            prepared["condition"],
            key_B,
            model=self.model,
            process=self.cfg.process,
            sampler=self.cfg.sampler,
        )
        return {"decoded": drawn, "real": prepared["x0"]}


def make_condition(image_BE: Array, tokens_BT: Array, text: TextEncoding, model: DecoderConfig) -> Condition:
    """What the decoder reads: CLIP's image embedding, and the caption as tokens or as CLIP's states."""
    own = model.caption is not None
    return Condition(
        image_BE=unit_variance(image_BE),
        keep_image_B=jnp.ones(len(image_BE), bool),
        caption=tokens_BT if own else text.states_BTD,
        mask_BT=text.mask_BT,
        text_BE=None if own else unit_variance(text.embedding_BE),
    )
