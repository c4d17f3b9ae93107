"""Sampling the parts of unCLIP: caption -> image embedding -> small picture -> larger pictures.

Each function is one compiled program, a scan over the solver's steps; launch.sample chains them.
"""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from gen import rng
from gen.bounds import Bounded, Count, Fraction, NotNegative, Positive
from gen.config import ConfigError
from gen.diffusion import analytic, cascade, posterior, solvers, spacing
from gen.diffusion.guidance import classifier_free
from gen.diffusion.prediction import Denoise, Prediction
from gen.diffusion.process import Process
from gen.diffusion.sampling import sample
from gen.models.decoder import Condition, DecoderConfig, decoder, encode
from gen.models.embedding import l2_normalize, restore
from gen.models.prior import CaptionEncoding, PriorConfig, prior
from gen.models.unet import UNetConfig, unet
from gen.spec import Params

VARIANCES = {
    "fixed_small": posterior.fixed_small,
    "fixed_large": posterior.fixed_large,
    "learned": posterior.learned_range,
}


class SamplerRole(NamedTuple):
    """A part of unCLIP as its sampler sees it: where ddpm may take its variance from, and whether guidance has a
    condition to drop."""

    variances: tuple[str, ...]
    conditional: bool = True


PRIOR = SamplerRole(("fixed_small", "fixed_large", "analytic"))
DECODER = SamplerRole(("fixed_small", "fixed_large", "learned"))
UPSAMPLER = SamplerRole(("fixed_small", "fixed_large"), conditional=False)


@dataclasses.dataclass(frozen=True)
class SamplerConfig(Bounded):
    """How a trained model is sampled: `steps` of a solver, with classifier-free guidance of `guidance_scale` (1: none).

    `solver` "ddpm" takes its `variance` from the schedule (fixed_small, fixed_large), from the network (learned) or
    from statistics of training (analytic); "ddim" draws a share `eta` of fresh noise. `clip` bounds x0 on the way.
    """

    solver: Literal["ddpm", "ddim"] = "ddim"
    steps: Count = 50
    eta: Fraction = 0.0
    variance: Literal["fixed_small", "fixed_large", "learned", "analytic"] = "fixed_small"
    guidance_scale: NotNegative = 1.0
    clip: Positive | None = 1.0

    def check(self, where: str, process: Process, part: SamplerRole) -> None:
        """Raises ConfigError, naming the key under `where`, for a sampler that cannot draw from a part of unCLIP."""
        if process.steps is not None and not 2 <= self.steps <= process.steps:
            known = f"must be from 2 to {process.steps}, the steps of the process"
            raise ConfigError(f"{where}.steps={self.steps} {known}")
        if self.solver == "ddpm" and self.variance not in part.variances:
            raise ConfigError(f"{where}.variance={self.variance!r} is not known here; use {', '.join(part.variances)}")

    def idle(self, where: str, part: SamplerRole) -> dict[str, str]:
        """The keys that were set and act on nothing where the sampler draws from this part, each with why."""
        found = {}
        if self.solver == "ddpm" and self.eta:
            found[f"{where}.eta"] = "it is ddim's; set solver=ddim"
        if self.guidance_scale != 1 and not part.conditional:
            found[f"{where}.guidance_scale"] = "the model is unconditional, so there is nothing to guide; leave it 1"
        return found

    def times(self, process: Process) -> np.ndarray:
        return spacing.uniform(self.steps) if process.steps is None else spacing.respaced(self.steps, process.steps)

    def make_solver(self, moments: analytic.Moments | None = None) -> solvers.Solver:
        if self.solver == "ddim":
            return solvers.ddim(self.eta)
        if self.variance == "analytic":
            if moments is None:
                raise ValueError("the analytic variance needs moments measured in training, which this model lacks")
            return solvers.ddpm(analytic.variance(moments))
        return solvers.ddpm(VARIANCES[self.variance])


def draw_embedding(
    params: Params,
    caption: CaptionEncoding,
    statistics: Params,
    moments: analytic.Moments,
    key_B: Key[Array, "B"],
    *,
    model: PriorConfig,
    process: Process,
    scale: float | None,
    sampler: SamplerConfig,
    candidates: int,
) -> Float[Array, "B E"]:
    """Image embeddings of unit length for captions; of `candidates` draws the one nearest to the caption is kept.

    The paper draws two and compares by dot product with the caption's embedding (section 2.2).
    """
    null = CaptionEncoding(jnp.zeros_like(caption.embedding_BE), caption.tokens, jnp.zeros_like(caption.mask_BT))
    caption_2B = jax.tree.map(lambda u, c: jnp.concatenate([u, c]), null, caption)

    def denoise_both(x, t_B):
        return Prediction(prior(params, x, t_B, caption_2B, model))

    def denoise_one(x, t_B):
        return Prediction(prior(params, x, t_B, caption, model))

    denoise = guided(denoise_one, denoise_both, sampler)

    def draw(candidate):
        draw_key_B = jax.vmap(jax.random.fold_in, (0, None))(key_B, candidate)
        noise_BE = rng.normal(rng.fold_each(draw_key_B, "start"), (model.embed,))
        x_BE = sample(
            denoise,
            noise_BE,
            sampler.times(process),
            process,
            sampler.make_solver(moments),
            rng.fold_each(draw_key_B, "steps"),
            clip=sampler.clip,
        )
        return l2_normalize(restore(x_BE, statistics, scale))

    z_NBE = jax.lax.map(draw, jnp.arange(candidates))
    nearest_B = jnp.einsum("nbe,be->nb", z_NBE, caption.embedding_BE).argmax(0)
    return jnp.take_along_axis(z_NBE, nearest_B[None, :, None], axis=0)[0]


def draw_picture(
    params: Params,
    condition: Condition,
    key_B: Key[Array, "B"],
    *,
    model: DecoderConfig,
    process: Process,
    sampler: SamplerConfig,
) -> Float[Array, "B Y X C"]:
    """Pictures in [-1, 1] for image embeddings and captions; the unconditional half of guidance drops both."""
    context = encode(params, condition, model)
    null = encode(params, without(condition), model)
    context_2B = jax.tree.map(lambda u, c: jnp.concatenate([u, c]), null, context)

    def split(y_BYXC):
        value, variance = jnp.split(y_BYXC, 2, axis=-1)
        return Prediction(value, variance)

    denoise = guided(
        lambda x, t_B: split(decoder(params, x, t_B, context, model)),
        lambda x, t_B: split(decoder(params, x, t_B, context_2B, model)),
        sampler,
    )
    size = (model.unet.resolution, model.unet.resolution, model.unet.in_channels)
    noise_BYXC = rng.normal(rng.fold_each(key_B, "start"), size)
    times, solver = sampler.times(process), sampler.make_solver()
    return sample(denoise, noise_BYXC, times, process, solver, rng.fold_each(key_B, "steps"), clip=sampler.clip)


def enlarge(
    params: Params,
    low_BYXC: Float[Array, "B y x C"],
    key_B: Key[Array, "B"],
    *,
    size: tuple[int, int],
    model: UNetConfig,
    process: Process,
    sampler: SamplerConfig,
    detail: float | None,
) -> Float[Array, "B Y X C"]:
    """Pictures enlarged to `size` (rows, columns) by an unconditional upsampler; it is convolutional, so any size.

    `detail` as in its training: the unit of the difference to bicubic enlargement that it draws, or None.
    """

    def denoise(x, t_B):
        return Prediction(unet(params, cascade.concatenate_condition(x, low_BYXC), t_B, model))

    noise_BYXC = rng.normal(rng.fold_each(key_B, "start"), (*size, low_BYXC.shape[-1]))
    times, solver = sampler.times(process), sampler.make_solver()
    clip = sampler.clip if detail is None else None  # differences have no bounds of their own
    x_BYXC = sample(denoise, noise_BYXC, times, process, solver, rng.fold_each(key_B, "steps"), clip=clip)
    return x_BYXC if detail is None else cascade.with_detail(x_BYXC, low_BYXC, detail)


def without(condition: Condition) -> Condition:
    """The condition of the unconditional half: no image embedding, no caption."""
    return condition._replace(
        keep_image_B=jnp.zeros_like(condition.keep_image_B),
        mask_BT=jnp.zeros_like(condition.mask_BT),
        text_BE=None if condition.text_BE is None else jnp.zeros_like(condition.text_BE),
    )


def guided(denoise: Denoise, denoise_both: Denoise, sampler: SamplerConfig) -> Denoise:
    """One call of the network for both halves; at scale 1 only the conditional one."""
    return denoise if sampler.guidance_scale == 1 else classifier_free(denoise_both, sampler.guidance_scale)
