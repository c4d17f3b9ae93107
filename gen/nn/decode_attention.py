"""Attention of a few new tokens to a cache of keys and values, as decoding does it.

The cache keeps each head's keys side by side, (B, G, S, K): a query reads them in order, where (B, S, G, K), as
attention over whole rows has them, makes it jump from token to token (five times slower on CPUs).
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gen import mesh
from gen.nn import attention_mask
from gen.nn.attention_mask import MaskConfig, MaskInputs


def cache_axes(heads: int) -> tuple[str | None, ...]:
    """The logical axes of a cache; a single head is not cut."""
    return ("batch", "heads" if heads > 1 else None, None, None)


def to_cache(x_BTGK: Float[Array, "B T G K"], slots: int) -> Float[Array, "B G S K"]:
    """Keys or values of whole rows as the beginning of a cache of `slots`."""
    x_BGTK = jnp.moveaxis(x_BTGK, 2, 1)
    room = [(0, 0), (0, 0), (0, slots - x_BGTK.shape[2]), (0, 0)]
    return mesh.shard(jnp.pad(x_BGTK, room), *cache_axes(x_BGTK.shape[1]))


def put(cache_BGSK: Float[Array, "B G S K"], new_BTGK: Float[Array, "B T G K"], slot_B: Int[Array, "B"]) -> Array:
    """The cache with each row's new keys or values from its own slot on."""
    row = jax.vmap(lambda old, new, slot: jax.lax.dynamic_update_slice_in_dim(old, new, slot, axis=1))
    put_BGSK = mesh.shard(row(cache_BGSK, jnp.moveaxis(new_BTGK, 2, 1), slot_B), *cache_axes(cache_BGSK.shape[1]))
    return jax.lax.optimization_barrier(put_BGSK)  # or each reader gets a copy of the whole cache of its own


def decode_attention(
    query_BTHK: Float[Array, "B T H K"],
    key_BGSK: Float[Array, "B G S K"],
    value_BGSK: Float[Array, "B G S K"],
    slot_BT: Int[Array, "B T"],
    rule: MaskConfig,
    table: Float[Array, "buckets H"] | None = None,
) -> Float[Array, "B T H K"]:
    """softmax(q k^T / sqrt(K) + bias) v of queries in these slots over all slots that they see."""
    batch, queries, heads, width = query_BTHK.shape
    groups, slots = key_BGSK.shape[1:3]
    distance_BTS = slot_BT[:, :, None] - jnp.arange(slots)
    query_BTGRK = query_BTHK.reshape(batch, queries, groups, heads // groups, width)
    s = jnp.einsum("btgrk,bgsk->bgrts", query_BTGRK, key_BGSK, preferred_element_type=jnp.float32) / math.sqrt(width)
    bias_BHTS = attention_mask.bias(rule, table, distance_BTS, heads)
    if bias_BHTS is not None:
        s = s + bias_BHTS.reshape(s.shape)
    seen_BTS = attention_mask.make_attention_mask(rule, MaskInputs(slot_BT=slot_BT), distance_BTS)
    assert seen_BTS is not None, "what is written sees what came before"
    p = jax.nn.softmax(jnp.where(seen_BTS[:, None, None], s, -1e30)).astype(value_BGSK.dtype)
    values_BGRTK = jnp.einsum("bgrts,bgsk->bgrtk", p, value_BGSK)
    return jnp.moveaxis(values_BGRTK, 3, 1).reshape(query_BTHK.shape)
