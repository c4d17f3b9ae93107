"""Array digests that do not depend on the mesh: 64 bits that change when any bit of an array, or its place, does.

An array is a row-major list of uint32 words w at positions p: one word for each element of up to 32 bits, two (the
low half first) for one of 64. With mix the finaliser of MurmurHash3, fmix32 (Appleby, 2011), and two seeds s,

    digest_s = sum over p of mix(w_p ^ mix(p ^ s))  mod 2^32

A sum does not mind the order of its terms, so each device adds up the shard that it holds, nothing is gathered, and
every mesh finds the same number; so does NumPy, offline. This finds accidents, not forgers: anyone can compute it.
Positions count modulo 2^32: in an array of more words than that, an exchange of two words exactly a multiple of 2^32
apart would pass unseen; a changed word would not.

    digests({"kernel": x_DF})  ->  {"kernel": "3f0a9c51d27be604"}
"""

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt32

from gen import tree

SEEDS = (0x9E3779B9, 0x7F4A7C15)
_WORD = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint32}  # by bytes per element
_BLOCK = 1 << 16  # words that NumPy mixes at a time: what fits in a core's cache


def digests(arrays: Any) -> dict[str, str]:
    """{path: digest} for every array of a tree, each computed where it lies.

    Arrays may have any shape, and any real dtype of 8, 16, 32 or 64 bits, bool, or typed random keys (their key data).
    Raises ValueError for another dtype.
    """
    leaves = {path: _plain(path, leaf) for path, leaf in tree.paths(arrays)}
    return {path: _hex(pair) for path, pair in jax.device_get({path: _sums(x) for path, x in leaves.items()}).items()}


def host_digest(x: np.ndarray) -> str:
    """The digest of one array, in NumPy: equal to that of `digests`."""
    return _hex(_host_sums(x))


def combine(parts: Mapping[str, str]) -> str:
    """One digest for a tree from {path: digest}, in any order: the first 16 hexadecimal digits of a SHA-256."""
    lines = "".join(f"{path} {digest}\n" for path, digest in sorted(parts.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def _plain(path: str, x: Any) -> Array:
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        x = jax.random.key_data(x)
    if x.dtype.itemsize not in _WORD or jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise ValueError(f"{path} has dtype {x.dtype}, which has no digest: store it as real numbers of 8 to 64 bits")
    return x


def _sums(x: Array) -> Any:
    """The two sums, left on the devices that hold x; on a CPU, NumPy reads the same memory and compiles nothing."""
    on_host = x.is_fully_addressable and all(device.platform == "cpu" for device in x.devices())
    return _host_sums(np.asarray(x)) if on_host else device_sums(x)


@jax.jit
def device_sums(x: Array) -> UInt32[Array, "2"]:
    """The sums for both seeds, computed shard by shard on whatever mesh holds x."""
    words = x.astype(jnp.uint8) if x.dtype == jnp.bool_ else x
    words = jax.lax.bitcast_convert_type(words, _WORD[x.dtype.itemsize]).astype(jnp.uint32)
    position = _positions(words.shape)
    return jnp.stack([jnp.sum(_mix(words ^ _mix(position ^ np.uint32(s))), dtype=jnp.uint32) for s in SEEDS])


def _positions(shape: tuple[int, ...]) -> UInt32[Array, "..."]:
    """Row-major positions, one iota per axis: a flat iota, reshaped, would not stay sharded."""
    strides = [math.prod(shape[axis + 1 :]) % 2**32 for axis in range(len(shape))]
    iotas = [jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * np.uint32(s) for axis, s in enumerate(strides)]
    return sum(iotas, jnp.zeros(shape, jnp.uint32))


def _host_sums(x: np.ndarray) -> np.ndarray:
    words = np.ascontiguousarray(x).reshape(-1).view(_WORD[x.dtype.itemsize])
    sums = np.zeros(len(SEEDS), np.uint32)
    for start in range(0, words.size, _BLOCK):
        block = words[start : start + _BLOCK].astype(np.uint32)
        position = np.arange(block.size, dtype=np.uint32) + np.uint32(start % 2**32)
        sums += np.stack([np.sum(_mix(block ^ _mix(position ^ np.uint32(s))), dtype=np.uint32) for s in SEEDS])
    return sums


def _mix(w):
    w = (w ^ (w >> 16)) * np.uint32(0x85EBCA6B)
    w = (w ^ (w >> 13)) * np.uint32(0xC2B2AE35)
    return w ^ (w >> 16)


def _hex(pair: Any) -> str:
    return "".join(f"{int(n):08x}" for n in pair)
