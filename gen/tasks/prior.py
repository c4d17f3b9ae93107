"""Training the diffusion prior: predict the clean CLIP image embedding of a captioned picture (arXiv 2204.06125, 2.2).

Beside the weights the run keeps what sampling needs to know of the data and of the network: mean and deviation of the
embeddings, and, for each time, the mean square of the predicted noise (Analytic-DPM's statistic).
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gen import rng
from gen.bounds import Bounded, Count, Fraction, Positive
from gen.config import resumable
from gen.diffusion.analytic import Moments
from gen.diffusion.prediction import Prediction
from gen.diffusion.process import Process
from gen.losses import diffusion
from gen.models.clip import CLIPConfig, clip_spec, encode_image, encode_text
from gen.models.embedding import l2_normalize, restore, standardize, statistics_spec, unit_variance, update_statistics
from gen.models.prior import CaptionEncoding, PriorConfig, prior, prior_spec
from gen.sample.unclip import PRIOR, SamplerConfig
from gen.spec import Params, Spec, ones, zeros
from gen.tasks.base import Batch, LossContext, Mean, Metrics, Player, Task, WeightRef, mean_of
from gen.tasks.image_batch import captioned, check_fit, pixels

# How many examples of a time its noise statistic remembers: the mean of all until then, and from then on of the last.
MEMORY = 100


@dataclasses.dataclass(frozen=True)
class PriorTaskConfig(Bounded):
    """`scale` multiplies embeddings of unit length; None standardises them by statistics measured in training.

    `text_drop` is the share of examples whose caption is dropped, for guidance; `candidates` how many embeddings are
    drawn for a caption, of which the nearest to it is kept.
    """

    name: Literal["prior"] = "prior"
    process: Process = Process("cosine", 1000, "x0")
    scale: Positive | None = None
    text_drop: Fraction = 0.1
    sampler: SamplerConfig = resumable(SamplerConfig(solver="ddpm", steps=64, variance="analytic", clip=None))
    candidates: Count = resumable(2)


class PriorTask(Task):
    def __init__(self, cfg: PriorTaskConfig, model: PriorConfig, clip: CLIPConfig, resolution: int):
        """`resolution` is that of the data's pictures. Raises ValueError where prior and CLIP do not fit together."""
        if cfg.process.steps is None or cfg.process.predicts != "x0":
            raise ValueError("the prior predicts x0 in discrete time: set task.process.predicts=x0 and .steps=1000")
        check_fit("embed", model.embed, clip.embed)
        check_fit("context", model.context, clip.text.context)
        if model.vocab is None:
            check_fit("states", model.states, clip.text.transformer.width)
        else:
            check_fit("vocab", model.vocab, clip.text.vocab)
        cfg.sampler.check("task.sampler", cfg.process, PRIOR)
        self.cfg, self.model, self.clip, self.resolution = cfg, model, clip, resolution
        self.times = cfg.process.steps
        self.players = {"model": Player(prior_spec(model))}
        self.frozen = {"clip": WeightRef("clip", clip_spec(clip))}
        self.extra = {
            "statistics": statistics_spec(model.embed),
            "seen": Spec((), (), zeros),
            # 1 is the truth at pure noise, and a safe value for a time never met: it means that x0 is known
            "eps2": Spec((self.times,), (None,), ones),
            "eps2_seen": Spec((self.times,), (None,), zeros),
        }

    def unused(self) -> dict[str, str]:
        return self.cfg.sampler.idle("task.sampler", PRIOR)

    def batch(self, size: int) -> Batch:
        return captioned(size, self.resolution, self.clip.text.context)

    def prepare(self, players, batch: Batch, context: LossContext) -> Batch:
        frozen = context.frozen["clip"]
        image_BE = encode_image(frozen, pixels(batch["image"], self.clip.image.resolution), self.clip)
        caption = read_caption(frozen, batch["tokens"], self.clip, self.model)
        return {**batch, "image": l2_normalize(image_BE), "caption": caption}

    def loss(self, player: str, params: Params, batch: Batch, context: LossContext) -> tuple[Mean, Metrics]:
        key = lambda purpose: context.keys(purpose, batch["row"])
        process, statistics, weight_B = self.cfg.process, context.extra["statistics"], batch.get("weight")
        x0_BE = standardize(batch["image"], statistics, self.cfg.scale)
        noise_BE = rng.normal(key("noise"), x0_BE.shape[1:])
        t_B = process.draw_times(key("time"))
        x_BE = process.corrupt(x0_BE, noise_BE, t_B)
        dropped_B = rng.bernoulli(key("text_drop"), self.cfg.text_drop)
        caption = drop(batch["caption"], dropped_B)
        value_BE = prior(params, x_BE, t_B, caption, self.model)
        loss_B = diffusion.simple(Prediction(value_BE), x0_BE, noise_BE, t_B, process)

        cosine_B = (l2_normalize(restore(value_BE, statistics, self.cfg.scale)) * batch["image"]).sum(-1)
        eps_BE = process.convert(jax.lax.stop_gradient(value_BE), x_BE, t_B, "x0", "eps")
        eps2 = self.by_time(jnp.square(eps_BE).mean(-1), t_B, ~dropped_B)  # of what is sampled: captioned pictures
        metrics = {"cosine": mean_of(cosine_B, weight_B), "_eps2": eps2}
        return mean_of(loss_B, weight_B), metrics

    def by_time(self, value_B: Float[Array, "B"], t_B: Int[Array, "B"], counts_B: Bool[Array, "B"]) -> Mean:
        """Sums and counts, for each time, of a quantity over the rows that count."""
        at_BN = jax.nn.one_hot(t_B, self.times) * counts_B[:, None]
        return Mean((value_B[:, None] * at_BN).sum(0), at_BN.sum(0))

    def after(self, players, prepared: Batch, metrics: Metrics, context: LossContext) -> Params:
        extra, eps2 = context.extra, metrics["_eps2"]
        seen_N = jnp.minimum(extra["eps2_seen"] + eps2.weight, jnp.maximum(MEMORY, eps2.weight))
        share_N = eps2.weight / jnp.maximum(seen_N, 1)
        return {
            "statistics": update_statistics(extra["statistics"], extra["seen"], prepared["image"]),
            "seen": extra["seen"] + float(len(prepared["image"])),
            "eps2": extra["eps2"] + share_N * (eps2.total / jnp.maximum(eps2.weight, 1) - extra["eps2"]),
            "eps2_seen": seen_N,
        }


def read_caption(params: Params, tokens_BT: Array, clip: CLIPConfig, model: PriorConfig) -> CaptionEncoding:
    """A caption as the prior takes it, from CLIP's weights and the caption's token ids."""
    text = encode_text(params, tokens_BT, clip)
    tokens = text.states_BTD if model.vocab is None else tokens_BT
    return CaptionEncoding(unit_variance(text.embedding_BE), tokens, text.mask_BT)


def drop(caption: CaptionEncoding, dropped_B: Bool[Array, "B"]) -> CaptionEncoding:
    """The captions without text where `dropped_B`: no embedding and no visible token."""
    kept_B1 = ~dropped_B[:, None]
    return CaptionEncoding(caption.embedding_BE * kept_B1, caption.tokens, caption.mask_BT & kept_B1)


def moments(extra: Params, cfg: PriorTaskConfig) -> Moments:
    """What Analytic-DPM asks for, from the run's `extra`; levels ascend, as interpolation wants them."""
    times = jnp.arange(len(extra["eps2"]))[::-1]
    deviation_E = extra["statistics"]["deviation"]
    variance = jnp.float32(1) if cfg.scale is None else jnp.square(cfg.scale * deviation_E).mean()
    return Moments(cfg.process.level(times).log_alpha_bar, extra["eps2"][::-1], variance)
