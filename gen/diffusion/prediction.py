"""What a network predicts about a noisy x, and the table that turns one kind of prediction into another.

    x0     the clean data
    eps    the noise that was added (DDPM, arXiv 2006.11239)
    v      alpha eps - sigma x0: the velocity (progressive distillation, arXiv 2202.00512)
    score  the gradient of log q(x): -eps / sigma (score SDE, arXiv 2011.13456)

Each kind says how to read x0 and eps from a prediction p, given x = alpha x0 + sigma eps, and how to make p from x0
and eps. Any kind becomes any other through that pair, so a new kind is one new line.

    x0 = convert(p, x, level, "v", "x0")
"""

from collections.abc import Callable
from typing import NamedTuple

from flax import struct
from jaxtyping import Array, Float, Num

from gen.diffusion.level import Level


@struct.dataclass
class Prediction:
    """What a network returns: all that solvers, guidance and losses see of it.

    value: (B, ...) like x, in the kind that the process predicts.
    variance: (B, ...) like x, or None: where the log-variance of a step lies between its bounds, nominally in
      [-1, 1] (the learned range of iDDPM, arXiv 2102.09672, eq. 15).
    """

    value: Float[Array, "B ..."]
    variance: Float[Array, "B ..."] | None = None


# denoise(x, t_B): the contract between the mathematics of diffusion and any network.
Denoise = Callable[[Float[Array, "B ..."], Num[Array, "B"]], Prediction]


class Kind(NamedTuple):
    """How one kind of prediction p relates to x0 and eps, given x and its alpha a and sigma s."""

    x0: Callable[..., Array]  # (p, x, a, s) -> x0
    eps: Callable[..., Array]  # (p, x, a, s) -> eps
    make: Callable[..., Array]  # (x0, eps, a, s) -> p


KINDS = {
    "x0": Kind(lambda p, x, a, s: p, lambda p, x, a, s: (x - a * p) / s, lambda x0, eps, a, s: x0),
    "eps": Kind(lambda p, x, a, s: (x - s * p) / a, lambda p, x, a, s: p, lambda x0, eps, a, s: eps),
    "v": Kind(lambda p, x, a, s: a * x - s * p, lambda p, x, a, s: s * x + a * p, lambda x0, e, a, s: a * e - s * x0),
    "score": Kind(lambda p, x, a, s: (x + s**2 * p) / a, lambda p, x, a, s: -s * p, lambda x0, eps, a, s: -eps / s),
}


def convert(p: Float[Array, "B ..."], x: Float[Array, "B ..."], level: Level, source: str, target: str) -> Array:
    """The prediction `p` about `x`, of kind `source`, as kind `target`; shape and units of x.

    Where sigma is 0 (clean data) an x0 says nothing about eps and the score is not defined.
    """
    have, want = KINDS[source], KINDS[target]
    x0, eps = have.x0(p, x, level.alpha, level.sigma), have.eps(p, x, level.alpha, level.sigma)
    return want.make(x0, eps, level.alpha, level.sigma)
