"""Dropout (Srivastava et al. 2014) whose mask depends on the example and not on the batch around it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from gen import rng


def dropout(x: Float[Array, "B ..."], rate: float, key_B: Key[Array, "B"] | None, name: str) -> Float[Array, "B ..."]:
    """Zeroes a share `rate` of the elements and scales the rest up; without keys (sampling, evaluation) it is x.

    `name` tells one layer's mask from another's.
    """
    if key_B is None or rate == 0.0:
        return x
    key_B = rng.fold_each(key_B, name)
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, (x[0].size,)))(key_B).reshape(x.shape)
    return jnp.where(keep, x / (1 - rate), 0)
