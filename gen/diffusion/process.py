"""The forward process: data turning into noise, x_t = alpha_t x_0 + sigma_t noise.

Shapes: B batch; x, x0 and noise have shape (B, ...) of any rank (embeddings, images); times have shape (B,).

    process = Process("cosine", steps=1000, predicts="eps")
    x_t = process.corrupt(x0, noise, t_B)
    x0 = process.convert(prediction.value, x_t, t_B, "eps", "x0")
"""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Num

from gen import rng
from gen.bounds import Bounded, Count, OutOfBounds
from gen.diffusion import prediction
from gen.diffusion.level import Level, over
from gen.diffusion.schedules import SCHEDULES


@functools.cache
def _table(schedule: str, steps: int) -> np.ndarray:
    """log(alpha^2) at times -1 (clean data), 0, ..., steps - 1; summed in float64, each entry then rounded once."""
    log_alpha_bar_N = np.cumsum(np.log1p(-SCHEDULES[schedule].betas(steps)))
    return np.concatenate([[0.0], log_alpha_bar_N]).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Process(Bounded):
    """A variance-preserving diffusion process and what its network predicts; hashable, so jit can close over it.

    schedule: "linear", "scaled_linear" or "cosine".
    steps: the number of discrete steps, with int times 0 (nearly clean) to steps - 1 and -1 meaning clean data; or
      None for continuous float times in (0, 1], 0 meaning clean data.
    predicts: the kind of a prediction's value, "x0", "eps", "v" or "score".

    Raises ValueError for names that do not exist or too few steps.
    """

    schedule: str
    steps: Count | None
    predicts: str

    def __post_init__(self):
        super().__post_init__()
        if self.predicts not in prediction.KINDS:
            kinds = ", ".join(prediction.KINDS)
            raise OutOfBounds("predicts", f"={self.predicts!r} is not a kind of prediction; use one of {kinds}")
        if self.schedule not in SCHEDULES:
            raise OutOfBounds(
                "schedule", f"={self.schedule!r} is not a noise schedule; use one of {', '.join(SCHEDULES)}"
            )
        if self.steps is not None and not (SCHEDULES[self.schedule].betas(self.steps) < 1).all():
            raise OutOfBounds(
                "steps", f"={self.steps} is too few for the {self.schedule} schedule, whose betas reach 1"
            )

    @property
    def clean(self) -> int | float:
        """The time of clean data."""
        return 0.0 if self.steps is None else -1

    def level(self, t_B: Num[Array, "*B"]) -> Level:
        """The noise levels at times t."""
        if self.steps is None:
            return Level(SCHEDULES[self.schedule].log_alpha_bar(t_B))
        return Level(jnp.asarray(_table(self.schedule, self.steps))[t_B + 1])

    def alpha(self, t_B: Num[Array, "*B"]) -> Float[Array, "*B"]:
        return self.level(t_B).alpha

    def sigma(self, t_B: Num[Array, "*B"]) -> Float[Array, "*B"]:
        return self.level(t_B).sigma

    def logsnr(self, t_B: Num[Array, "*B"]) -> Float[Array, "*B"]:
        return self.level(t_B).logsnr

    def draw_times(self, key_B: Key[Array, "B"]) -> Num[Array, "B"]:
        """A time for each example of a training batch, uniform over the discrete steps or over (0, 1]."""
        return 1 - rng.uniform(key_B) if self.steps is None else rng.integers(key_B, 0, self.steps)

    def corrupt(self, x0: Float[Array, "B ..."], noise: Float[Array, "B ..."], t_B: Num[Array, "B"]) -> Array:
        """x_t = alpha_t x_0 + sigma_t noise (DDPM, arXiv 2006.11239, eq. 4)."""
        level = over(x0, self.level(t_B))
        return level.alpha * x0 + level.sigma * noise

    def target(self, x0: Float[Array, "B ..."], noise: Float[Array, "B ..."], t_B: Num[Array, "B"]) -> Array:
        """What the network should predict for corrupt(x0, noise, t)."""
        level = over(x0, self.level(t_B))
        return prediction.KINDS[self.predicts].make(x0, noise, level.alpha, level.sigma)

    def convert(
        self, value: Float[Array, "B ..."], x_t: Float[Array, "B ..."], t_B: Num[Array, "B"], source: str, target: str
    ) -> Float[Array, "B ..."]:
        """A prediction about x_t of kind `source` as kind `target`."""
        return prediction.convert(value, x_t, over(x_t, self.level(t_B)), source, target)
