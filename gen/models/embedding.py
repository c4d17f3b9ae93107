"""CLIP embeddings between models: of what length they are, and how they are brought to unit variance for diffusion.

unit length          what CLIP compares                                   |z| = 1
unit variance        what the prior and the decoder read                  |z| = sqrt(E)
diffusion's space    `scale` times unit length (17.2 in unCLIP), or standardised by measured statistics (Karlo)
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen import spec
from gen.spec import Params, Spec, Specs


def l2_normalize(z: Float[Array, "... E"]) -> Float[Array, "... E"]:
    """A vector of length 1."""
    return z * jax.lax.rsqrt(jnp.square(z).sum(-1, keepdims=True) + 1e-12)


def unit_variance(z: Float[Array, "... E"]) -> Float[Array, "... E"]:
    """A vector of length sqrt(E), whose elements vary by about 1."""
    return l2_normalize(z) * z.shape[-1] ** 0.5


def statistics_spec(embed: int) -> Specs:
    """Mean and deviation of the embeddings of a data set; until some are measured, those of a standard normal."""
    return {
        "mean": Spec((embed,), (None,), spec.zeros),
        "deviation": Spec((embed,), (None,), spec.ones),
    }


def standardize(z_BE: Float[Array, "B E"], statistics: Params, scale: float | None) -> Float[Array, "B E"]:
    """Embeddings of unit length in diffusion's space."""
    return (z_BE - statistics["mean"]) / statistics["deviation"] if scale is None else z_BE * scale


def restore(x_BE: Float[Array, "B E"], statistics: Params, scale: float | None) -> Float[Array, "B E"]:
    """The inverse of `standardise`."""
    return x_BE * statistics["deviation"] + statistics["mean"] if scale is None else x_BE / scale


def update_statistics(statistics: Params, seen: Float[Array, ""], z_BE: Float[Array, "B E"]) -> Params:
    """Statistics of all embeddings so far, of which `seen` came before this batch (Chan et al. 1983)."""
    batch = float(len(z_BE))
    total = seen + batch
    step_E = z_BE.mean(0) - statistics["mean"]
    squares_E = seen * jnp.square(statistics["deviation"]) + batch * z_BE.var(0)
    variance_E = (squares_E + jnp.square(step_E) * seen * batch / total) / total
    return {
        "mean": statistics["mean"] + step_E * batch / total,
        "deviation": jnp.maximum(jnp.sqrt(variance_E), 1e-6),
    }
