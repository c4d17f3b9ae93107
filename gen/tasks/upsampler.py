"""Training an unCLIP upsampler: the noise of a crop, given the crop made small and corrupted (arXiv 2204.06125, 2.3).

The network is unconditional and convolutional: it learns on crops and enlarges whole pictures.
"""

import dataclasses
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from gen import rng
from gen.bounds import Bounded, Positive, above, at_least, at_most
from gen.config import resumable
from gen.diffusion import cascade, degradation
from gen.diffusion.prediction import Prediction
from gen.diffusion.process import Process
from gen.losses import diffusion
from gen.models.unet import UNetConfig, unet, unet_spec
from gen.sample.unclip import UPSAMPLER, SamplerConfig, enlarge
from gen.spec import Params
from gen.tasks.base import Batch, LossContext, Mean, Metrics, Player, Task, mean_of
from gen.tasks.image_batch import pixels, resize


@dataclasses.dataclass(frozen=True)
class UpsamplerTaskConfig(Bounded):
    """`factor` is the enlargement; `crop` the side of training crops as a share of the picture (0.25 in the paper).

    `corrupt` says what happens to the small picture in training: a Gaussian `blur` of 3 pixels and deviation 0.6
    (the paper's first upsampler), the `bsr` degradation (its second), or `nothing`, for small pictures that are real.
    With `detail` the process is one of the difference to bicubic enlargement, divided by this number, which should be
    about its deviation; without it, as in the paper, of the picture itself.
    """

    factor: Annotated[int, at_least(2)]
    name: Literal["upsampler"] = "upsampler"
    crop: Annotated[float, above(0), at_most(1)] = 0.25
    corrupt: Literal["blur", "bsr", "nothing"] = "blur"
    detail: Positive | None = None
    process: Process = Process("cosine", 1000, "eps")
    sampler: SamplerConfig = resumable(SamplerConfig(steps=27))


class UpsamplerTask(Task):
    def __init__(self, cfg: UpsamplerTaskConfig, model: UNetConfig, resolution: int):
        """`resolution` is that of the data's pictures. Raises ValueError where model, crop and factor do not fit."""
        if cfg.process.steps is None:
            raise ValueError("the upsampler is trained in discrete time: set task.process.steps, for example to 1000")
        if model.in_channels != 6 or model.out_channels != 3:
            raise ValueError("an upsampler reads two pictures and draws one: set model.in_channels=6, out_channels=3")
        cfg.sampler.check("task.sampler", cfg.process, UPSAMPLER)
        self.crop = round(cfg.crop * model.resolution)
        steps = cfg.factor * 2 ** (len(model.multipliers) - 1)
        if self.crop % steps or self.crop < 1:
            raise ValueError(
                f"crops of {self.crop} pixels (task.crop x model.resolution) do not shrink {cfg.factor} times and then"
                f" through {len(model.multipliers)} levels; choose a multiple of {steps}"
            )
        self.cfg, self.model, self.resolution = cfg, model, resolution
        self.players = {"model": Player(unet_spec(model))}

    def unused(self) -> dict[str, str]:
        found = self.cfg.sampler.idle("task.sampler", UPSAMPLER)
        if self.model.context is not None:
            found["model.context"] = "the model is unconditional: nothing gives it a context"
        if self.cfg.detail is not None and self.cfg.sampler.clip not in (None, 1.0):
            found["task.sampler.clip"] = "differences to bicubic enlargement, of task.detail, are not clipped"
        return found

    def batch(self, size: int) -> Batch:
        return {"image": jax.ShapeDtypeStruct((size, self.resolution, self.resolution, 3), jnp.uint8)}

    def prepare(self, players, batch: Batch, context: LossContext) -> Batch:
        key = lambda purpose: context.keys(purpose, batch["row"])
        x0_BYXC = random_crops(pixels(batch["image"], self.model.resolution), self.crop, key("crop"))
        low_BYXC = resize(x0_BYXC, self.crop // self.cfg.factor)
        if self.cfg.corrupt == "blur":
            low_BYXC = cascade.gaussian_blur(low_BYXC, kernel_size=3, stddev=0.6)
        elif self.cfg.corrupt == "bsr":
            low_BYXC = degradation.bsr(low_BYXC, key("degradation"))
        if self.cfg.detail is not None:
            x0_BYXC = cascade.detail(x0_BYXC, low_BYXC, self.cfg.detail)
        return {**batch, "x0": x0_BYXC, "low": low_BYXC}

    def loss(self, player: str, params: Params, batch: Batch, context: LossContext) -> tuple[Mean, Metrics]:
        key = lambda purpose: context.keys(purpose, batch["row"])
        dropout_key_B = None if context.training is None else key("dropout")
        process, x0_BYXC = self.cfg.process, batch["x0"]
        noise_BYXC = rng.normal(key("noise"), x0_BYXC.shape[1:])
        t_B = process.draw_times(key("time"))
        x_BYXC = cascade.concatenate_condition(process.corrupt(x0_BYXC, noise_BYXC, t_B), batch["low"])
        value_BYXC = unet(params, x_BYXC, t_B, self.model, key_B=dropout_key_B)
        loss_B = diffusion.simple(Prediction(value_BYXC), x0_BYXC, noise_BYXC, t_B, process)
        return mean_of(loss_B, batch.get("weight")), {}

    def sample(self, players, batch: Batch, context: LossContext):
        x0_BYXC = pixels(batch["image"], self.model.resolution)
        low_BYXC = resize(x0_BYXC, self.model.resolution // self.cfg.factor)
        drawn = enlarge(
            players["model"],
            low_BYXC,
            rng.per_example(context.key, batch["row"]),
            size=(self.model.resolution, self.model.resolution),
            model=self.model,
            process=self.cfg.process,
            sampler=self.cfg.sampler,
            detail=self.cfg.detail,
        )
        return {"enlarged": drawn, "bicubic": resize(low_BYXC, self.model.resolution), "real": x0_BYXC}


def random_crops(x_BYXC: Float[Array, "B Y X C"], size: int, key_B: Key[Array, "B"]) -> Float[Array, "B S S C"]:
    """A square of `size` pixels out of each picture."""
    rows, columns = x_BYXC.shape[1:3]

    def crop(x_YXC, key):
        row_key, column_key = jax.random.split(key)
        row = jax.random.randint(row_key, (), 0, rows - size + 1)
        column = jax.random.randint(column_key, (), 0, columns - size + 1)
        return jax.lax.dynamic_slice(x_YXC, (row, column, 0), (size, size, x_YXC.shape[2]))

    return jax.vmap(crop)(x_BYXC, key_B)
