"""Array digests that do not depend on the mesh: 64 bits that change when any bit of an array, or its place, does.

An array is a row-major list of uint32 words w at positions p: one word for each element of up to 32 bits, two (the
low half first) for one of 64. With mix the finaliser of MurmurHash3, fmix32 (Appleby, 2011), and two seeds s,

    digest_s = sum over p of mix(w_p ^ mix(p ^ s))  mod 2^32

A sum does not mind the order of its terms, so every process adds up the shards that it holds, nothing but sums is
gathered, and all meshes and process counts find the same number. This finds accidents, not forgers: anyone can compute
it. Positions count modulo 2^32: in an array of more words than that, an exchange of two words exactly a multiple of
2^32 apart would pass unseen; a changed word would not.

    digests({"kernel": x_DF})  ->  {"kernel": "3f0a9c51d27be604"}
"""

import functools
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt32

from gen import hosts, tree

SEEDS = (0x9E3779B9, 0x7F4A7C15)
_WORD = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint32}  # by bytes per element
_BLOCK = 1 << 16  # words that NumPy mixes at a time: what fits in a core's cache
_THREADS = 4  # that add up shards beside each other


class ArrayPart(NamedTuple):
    """A shard in the memory of its host: where it begins in an array of `shape`, and whether it counts for the whole,
    as one of its copies does."""

    start: tuple[int, ...]
    shape: tuple[int, ...]
    data: np.ndarray
    counts: bool = True


class Divergent(ValueError):
    """Processes hold different bits of what should be copies; the message names the array."""


def pieces(arrays: Any) -> dict[str, list[ArrayPart]]:
    """{path: the distinct shards that this process holds}. What lies on devices is copied to their host, once; the
    devices may go on with other work, and the arrays be donated, as soon as this returns.

    Arrays may have any shape, and any real dtype of 8, 16, 32 or 64 bits, bool, or typed random keys (their key data).
    Raises ValueError for another dtype.
    """
    plain = {path: _plain(path, leaf) for path, leaf in tree.paths(arrays)}
    for x in plain.values():
        for shard in x.addressable_shards:
            shard.data.copy_to_host_async()
    return {path: _distinct(x) for path, x in plain.items()}


def own_sums(held: Mapping[str, Iterable[ArrayPart]]) -> dict[str, UInt32[np.ndarray, "2"]]:
    """The part of each digest that this process adds: over all processes they sum up to the digest."""
    counting = {path: [piece for piece in own if piece.counts] for path, own in held.items()}
    with ThreadPoolExecutor(_THREADS) as pool:
        adding = {path: list(pool.map(sums, own)) for path, own in counting.items()}
    return {path: _total(parts) for path, parts in adding.items()}


def digests(arrays: Any) -> dict[str, str]:
    """{path: digest} for every array of a tree, which all processes ask for together.

    Raises Divergent where copies of a shard differ between processes.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        own = {
            path: {str(piece.start): to_hex(part) for piece, part in zip(held, pool.map(sums, held), strict=True)}
            for path, held in pieces(arrays).items()
        }
    merged: dict[str, dict[str, str]] = {path: {} for path in own}
    for found in hosts.all_gather("digests", own):
        for path, parts in found.items():
            for start, part in parts.items():
                if merged[path].setdefault(start, part) != part:
                    raise Divergent(f"the array {path} differs between processes in what should be copies of it")
    return {path: to_hex(_total(map(from_hex, parts.values()))) for path, parts in merged.items()}


def host_digest(x: np.ndarray) -> str:
    """The digest of one array in the memory of this process."""
    return to_hex(sums(ArrayPart((0,) * x.ndim, x.shape, x)))


def combine(parts: Mapping[str, str]) -> str:
    """One digest for a tree from {path: digest}, in any order: the first 16 hexadecimal digits of a SHA-256."""
    lines = "".join(f"{path} {digest}\n" for path, digest in sorted(parts.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def sums(piece: ArrayPart) -> UInt32[np.ndarray, "2"]:
    """What the words of a piece add to the digest, for both seeds."""
    data = np.ascontiguousarray(piece.data).reshape(piece.data.shape or (1,))
    words = data.view(_WORD[data.dtype.itemsize])
    shape: tuple[int, ...] = words.shape
    words_RC = words.reshape(math.prod(shape[:-1]), shape[-1])
    row_R, column_C = _positions(piece, shape)
    total = np.zeros(len(SEEDS), np.uint32)
    height = max(1, _BLOCK // max(words_RC.shape[1], 1))
    for top in range(0, len(row_R), height):
        for left in range(0, len(column_C), _BLOCK):
            rows, columns = slice(top, top + height), slice(left, left + _BLOCK)
            block, position = words_RC[rows, columns].astype(np.uint32), row_R[rows, None] + column_C[columns]
            total += np.stack([np.sum(_mix(block ^ _mix(position ^ np.uint32(s))), dtype=np.uint32) for s in SEEDS])
    return total


def to_hex(pair: Any) -> str:
    return "".join(f"{int(n):08x}" for n in pair)


def from_hex(text: str) -> UInt32[np.ndarray, "2"]:
    """Raises ValueError for what is no digest."""
    if len(text) != 16:
        raise ValueError(f"{text!r} is no digest")
    return np.asarray([int(text[:8], 16), int(text[8:], 16)], np.uint32)


@functools.cache
def has_digest(dtype: str) -> bool:
    """Whether arrays of a dtype of this name have a digest."""
    try:
        found = jnp.dtype(dtype)
    except (TypeError, ValueError):
        return False
    real = jnp.issubdtype(found, jnp.number) and not jnp.issubdtype(found, jnp.complexfloating)
    return found.name == dtype and (real or dtype == "bool") and found.itemsize in _WORD


def _plain(path: str, x: Any) -> Array:
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        x = jax.random.key_data(x)
    if x.dtype.itemsize not in _WORD or jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise ValueError(f"{path} has dtype {x.dtype}, which has no digest: store it as real numbers of 8 to 64 bits")
    return x


def _distinct(x: Array) -> list[ArrayPart]:
    found: dict[tuple[int, ...], ArrayPart] = {}
    for shard in sorted(x.addressable_shards, key=lambda shard: shard.replica_id):
        start = tuple(index.start or 0 for index in shard.index)
        if start not in found:
            found[start] = ArrayPart(start, x.shape, np.asarray(shard.data), shard.replica_id == 0)
    return list(found.values())


def _positions(piece: ArrayPart, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The row-major position, in words modulo 2^32, at which each row of the piece begins in its array, and what its
    columns add; `shape` is the piece's, in words."""
    whole, start = list(piece.shape) or [1], list(piece.start) or [0]
    per_element = shape[-1] // max((piece.data.shape or (1,))[-1], 1)
    row = np.zeros((), np.uint64)
    for first, size, count in zip(start[:-1], whole[:-1], shape[:-1], strict=True):
        row = row[..., None] * np.uint64(size) + (np.uint64(first) + np.arange(count, dtype=np.uint64))
    column = np.uint64(start[-1] * per_element) + np.arange(shape[-1], dtype=np.uint64)
    return (row.reshape(-1) * np.uint64(whole[-1] * per_element)).astype(np.uint32), column.astype(np.uint32)


def _total(parts: Iterable[np.ndarray]) -> UInt32[np.ndarray, "2"]:
    return sum(parts, np.zeros(len(SEEDS), np.uint32))


def _mix(w):
    w = (w ^ (w >> 16)) * np.uint32(0x85EBCA6B)
    w = (w ^ (w >> 13)) * np.uint32(0xC2B2AE35)
    return w ^ (w >> 16)
