"""Steps whose gradient is far larger than those before them, which large runs meet now and then, and what to do about
them (PaLM, arXiv 2204.02311, section 5.1).

With x = log |g|, mean and variance of x are exponential averages (West 1979), plain ones until they are full:

    share = 1 / min(n + 1, window)      d = x - mean
    mean <- mean + share d              var <- (1 - share) (var + share d^2)

and a step is an outlier when n >= window and x > mean + deviations sqrt(var). Norms are compared by their logarithm, as
they vary by factors. What is not applied does not count.
"""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gen.bounds import Bounded, Count, Natural, Positive, at_least

type Statistics = Mapping[str, Float[Array, "3"]]  # n, mean and variance, by player


REWIND = ("back", "batches", "most")  # of action="rewind" alone


@dataclasses.dataclass(frozen=True)
class SpikeConfig(Bounded):
    """`note` says in the metrics which steps are outliers; `skip` leaves the state as it was, inside the step; `rewind`
    goes back to a checkpoint `back` steps or more before, and leaves out `batches` batches from there on, the outlier's
    among them, as PaLM did by hand; after `most` times the run ends as diverged.
    """

    action: Literal["note", "skip", "rewind"] = "note"
    deviations: Positive = 6.0
    window: Annotated[int, at_least(2)] = 100
    back: Natural = 100
    batches: Count = 200
    most: Count = 20

    def unused(self) -> dict[str, str]:
        if self.action == "rewind":
            return {}
        own = {field.name: field.default for field in dataclasses.fields(self) if field.name in REWIND}
        why = f"action={self.action!r} goes back to no checkpoint"
        return {key: why for key, default in own.items() if getattr(self, key) != default}


NOTE = SpikeConfig()


def outlier(statistics: Statistics, norms: Mapping[str, Float[Array, ""]], cfg: SpikeConfig) -> Bool[Array, ""]:
    """Whether the gradient of any player is one; a norm that is not finite, as where a player rests, is none."""
    found = jnp.bool_(False)
    for name, norm in norms.items():
        n, mean, variance = statistics[name]
        x = jnp.log(norm)
        found |= (n >= cfg.window) & jnp.isfinite(x) & (x > mean + cfg.deviations * jnp.sqrt(variance))
    return found


def counted(statistics: Statistics, norms: Mapping[str, Float[Array, ""]], cfg: SpikeConfig) -> dict[str, Array]:
    """The statistics with one step more."""
    return {name: _counted(statistics[name], jnp.log(norm), cfg.window) for name, norm in norms.items()}


def _counted(statistic: Float[Array, "3"], x: Float[Array, ""], window: int) -> Float[Array, "3"]:
    n, mean, variance = statistic
    share = 1 / jnp.minimum(n + 1, window)
    apart = x - mean
    new = jnp.stack([n + 1, mean + share * apart, (1 - share) * (variance + share * apart**2)])
    return jnp.where(jnp.isfinite(x), new, statistic)
