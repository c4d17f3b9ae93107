"""Random draws as functions of (seed, purpose, step, example).

Keys are folded in by name and by number, never carried and advanced, so a draw can be made again from what it is
for. Threefry draws the same numbers on every mesh. Draws for a batch are made example by example from the rows'
numbers in the global batch, so cutting the batch into micro-batches or spreading it over hosts changes nothing.

    key = fold(jax.random.key(seed), "noise", step)
    noise_BYXC = normal(per_example(key, row_B), (16, 16, 3))
"""

import math
import zlib

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key


def number(name: str) -> int:
    """A stable 32-bit number for a purpose's name."""
    return zlib.crc32(name.encode())


def fold(key: Key[Array, ""], *what: str | int | Int[Array, ""]) -> Key[Array, ""]:
    """Folds names and numbers into a key, in order."""
    for item in what:
        key = jax.random.fold_in(key, number(item) if isinstance(item, str) else item)
    return key


def per_example(key: Key[Array, ""], row_B: Int[Array, "B"]) -> Key[Array, "B"]:
    """One key for each row of the global batch."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, row_B)


def fold_each(key_B: Key[Array, "B"], name: str) -> Key[Array, "B"]:
    """Each key, folded with a purpose."""
    return jax.vmap(lambda key: fold(key, name))(key_B)


def normal(key_B: Key[Array, "B"], shape: tuple[int, ...]) -> Float[Array, "B ..."]:
    """Standard normal draws of `shape` for each key, float32.

    The draw is flat and then reshaped: the same bits, and on CPU it compiles several times faster.
    """
    size = math.prod(shape)
    return jax.vmap(lambda key: jax.random.normal(key, (size,)))(key_B).reshape(-1, *shape)


def uniform(key_B: Key[Array, "B"]) -> Float[Array, "B"]:
    """One uniform draw in [0, 1) for each key, float32."""
    return jax.vmap(jax.random.uniform)(key_B)


def integers(key_B: Key[Array, "B"], low: int, high: int) -> Int[Array, "B"]:
    """One integer in [low, high) for each key, int32."""
    return jax.vmap(lambda key: jax.random.randint(key, (), low, high))(key_B)


def bernoulli(key_B: Key[Array, "B"], probability: float) -> Array:
    """One coin for each key, true with `probability`."""
    return uniform(key_B) < jnp.float32(probability)


def host(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """The same idea for NumPy: a generator that depends on nothing but (seed, purpose, numbers)."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, number(purpose), *numbers])))
