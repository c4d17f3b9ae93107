"""A noise level: how much data and how much noise is in x = alpha x_0 + sigma noise, alpha^2 + sigma^2 = 1.

One number stands for both, so each level costs one number and loses no digits (see gen.diffusion.schedules).

    level = over(x0, Level(log_alpha_bar_B))
    x = level.alpha * x0 + level.sigma * noise
"""

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float


@struct.dataclass
class Level:
    """A noise level, as log(alpha^2): 0 is clean data, and large negative numbers are noise."""

    log_alpha_bar: Float[Array, "..."]

    @property
    def alpha(self) -> Float[Array, "..."]:
        return jnp.exp(self.log_alpha_bar / 2)

    @property
    def sigma(self) -> Float[Array, "..."]:
        return jnp.sqrt(-jnp.expm1(self.log_alpha_bar))

    @property
    def logsnr(self) -> Float[Array, "..."]:
        """log(alpha^2 / sigma^2)."""
        return self.log_alpha_bar - jnp.log(-jnp.expm1(self.log_alpha_bar))


def over(x: Float[Array, "B ..."], level_B: Level) -> Level:
    """The levels of a batch, with as many trailing 1s in their shape as x needs to broadcast against them."""
    return Level(level_B.log_alpha_bar.reshape(-1, *[1] * (x.ndim - 1)))
