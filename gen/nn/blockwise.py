"""Attention in blocks, with memory linear in length (Rabe & Staats 2021, arXiv 2112.05682; Dao et al., 2205.14135).

Scores exist for one block of queries and one of keys at a time. Forward keeps, for each query, the running maximum m of
its scores, the sum n of exp(score - m) and the so weighted sum of values; backward makes the scores again from q, k and

    L = m + log n,    P = exp(S - L),    dS = P * (dO V^T - rowsum(dO * O)),    dQ = dS K,  dK = dS^T Q,  dV = P^T dO

The pairs of blocks in which anybody sees anything are listed before tracing and walked by one scan, so that causal
attention does half of the work, and attention in a window a part that does not grow with length.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gen.nn import attention_mask
from gen.nn.attention_mask import NO_MASK, MaskConfig, MaskInputs

NOTHING = -1e30  # the score of a key that is not seen; finite, so that a query that sees nothing makes no NaN


class Blocks(NamedTuple):
    """Static sizes: rows of queries and of keys in a block, and the pairs of blocks to visit."""

    queries: int
    keys: int
    pairs: tuple[tuple[int, int], ...]


def blockwise(
    query_BTHK: Float[Array, "B T H K"],
    key_BSGK: Float[Array, "B S G K"],
    value_BSGK: Float[Array, "B S G K"],
    rule: MaskConfig,
    where: MaskInputs = NO_MASK,
    table: Float[Array, "buckets H"] | None = None,
    block: int = 512,
) -> Float[Array, "B T H K"]:
    """softmax(q k^T / sqrt(K) + bias) v over the keys that each query sees; H is a multiple of G."""
    queries, keys, groups = query_BTHK.shape[1], key_BSGK.shape[1], key_BSGK.shape[2]
    q_BTHK, slot_BT, query_BT = _padded(block, query_BTHK, where.slots(queries), where.query_BT)
    k_BSGK, v_BSGK, key_BS = _padded(block, key_BSGK, value_BSGK, where.key_BS)
    if key_BS is None and k_BSGK.shape[1] > keys:  # keys that only fill up are of a segment of their own
        query_BT = jnp.zeros((1, q_BTHK.shape[1]), jnp.int32)
        key_BS = (jnp.arange(k_BSGK.shape[1]) >= keys).astype(jnp.int32)[None]
    elif key_BS is not None:
        key_BS = jnp.where(jnp.arange(key_BS.shape[1]) < keys, key_BS, jnp.iinfo(jnp.int32).min)
    sizes = min(block, q_BTHK.shape[1]), min(block, k_BSGK.shape[1])
    counts = q_BTHK.shape[1] // sizes[0], k_BSGK.shape[1] // sizes[1]
    blocks = Blocks(*sizes, _pairs(rule, where.slot_BT is None, *sizes, *counts))
    q = q_BTHK.reshape(*q_BTHK.shape[:2], groups, -1, q_BTHK.shape[-1])
    o = _attend(rule, blocks, q, k_BSGK, v_BSGK, MaskInputs(slot_BT, query_BT, key_BS), table)
    return o.reshape(q_BTHK.shape)[:, :queries]


def _padded(block: int, *rows: Array | None) -> list[Any]:
    """Arrays (B, N, ...) whose second axis is a multiple of the block, or as it was where it is shorter than one."""

    def pad(x: Array | None) -> Array | None:
        if x is None or x.shape[1] <= block or x.shape[1] % block == 0:
            return x
        return jnp.pad(x, [(0, 0), (0, -x.shape[1] % block), *[(0, 0)] * (x.ndim - 2)])

    return [pad(x) for x in rows]


def _pairs(rule: MaskConfig, in_order: bool, bq: int, bk: int, nq: int, nk: int) -> tuple[tuple[int, int], ...]:
    """The pairs of blocks in which some query may see some key, as far as that is known before tracing."""
    pairs = []
    for i in range(nq):
        for j in range(nk):
            nearest, farthest = i * bq - (j + 1) * bk + 1, (i + 1) * bq - 1 - j * bk
            ahead = rule.causal and farthest < 0
            beyond = rule.window is not None and (nearest >= rule.window or farthest <= -rule.window)
            if not in_order or not (ahead or beyond):
                pairs.append((i, j))
    return tuple(pairs)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _attend(rule: MaskConfig, blocks: Blocks, q, k, v, where: MaskInputs, table):
    return _forward(rule, blocks, q, k, v, where, table)[0]


def _scores(rule: MaskConfig, blocks: Blocks, q_BTGRK, k_BSGK, where: MaskInputs, table, i, j):
    """Scores of one pair of blocks, float32, (B, G, R, T, S)."""
    slot_BT, query_BT = (_block(x, i, blocks.queries) for x in (where.slot_BT, where.query_BT))
    key_BS = _block(where.key_BS, j, blocks.keys)
    distance_BTS = slot_BT[:, :, None] - (j * blocks.keys + jnp.arange(blocks.keys))
    s = jnp.einsum("btgrk,bsgk->bgrts", q_BTGRK, k_BSGK, preferred_element_type=jnp.float32)
    s = s / math.sqrt(q_BTGRK.shape[-1])
    bias_BHTS = attention_mask.bias(rule, table, distance_BTS, s.shape[1] * s.shape[2])
    if bias_BHTS is not None:
        s = s + bias_BHTS.reshape(bias_BHTS.shape[0], *s.shape[1:3], *bias_BHTS.shape[2:])
    seen_BTS = attention_mask.make_attention_mask(rule, MaskInputs(slot_BT, query_BT, key_BS), distance_BTS)
    return s if seen_BTS is None else jnp.where(seen_BTS[:, None, None], s, NOTHING)


def _forward(rule: MaskConfig, blocks: Blocks, q, k, v, where: MaskInputs, table):
    batch, queries, groups, repeat, width = q.shape
    rows = (batch, groups, repeat, queries)

    def visit(carry, pair):
        o, n, m = carry
        i, j = pair
        q_i, k_j, v_j = _block(q, i, blocks.queries), _block(k, j, blocks.keys), _block(v, j, blocks.keys)
        s = _scores(rule, blocks, q_i, k_j, where, table, i, j)
        o_i, n_i, m_i = (_block(x, i, blocks.queries, axis=3) for x in (o, n, m))
        top = jnp.maximum(m_i, s.max(-1))
        p = jnp.where(s > NOTHING / 2, jnp.exp(s - top[..., None]), 0)
        old = jnp.exp(m_i - top)
        pv = jnp.einsum("bgrts,bsgk->bgrtk", p.astype(v.dtype), v_j, preferred_element_type=jnp.float32)
        new = o_i * old[..., None] + pv, n_i * old + p.sum(-1), top
        return tuple(_put(x, x_i, i, axis=3) for x, x_i in zip(carry, new, strict=True)), None

    start = jnp.zeros((*rows, width), jnp.float32), jnp.zeros(rows), jnp.full(rows, NOTHING)
    (o, n, m), _ = jax.lax.scan(_whole(visit), start, jnp.asarray(np.array(blocks.pairs, np.int32)))
    n = jnp.maximum(n, 1e-30)
    o = jnp.moveaxis(o / n[..., None], 3, 1).astype(q.dtype)
    return o, (q, k, v, where, table, o, m + jnp.log(n))


def _backward(rule: MaskConfig, blocks: Blocks, saved, do):
    q, k, v, where, table, o, lse = saved
    delta = jnp.einsum("btgrk,btgrk->bgrt", do, o, preferred_element_type=jnp.float32)

    def visit(carry, pair):
        dq, dk, dv, dtable = carry
        i, j = pair
        q_i, do_i = _block(q, i, blocks.queries), _block(do, i, blocks.queries)
        k_j, v_j = _block(k, j, blocks.keys), _block(v, j, blocks.keys)
        score = lambda q_i, k_j, table: _scores(rule, blocks, q_i, k_j, where, table, i, j)
        s, pull_back = jax.vjp(score, q_i, k_j, table)
        p = jnp.where(s > NOTHING / 2, jnp.exp(s - _block(lse, i, blocks.queries, axis=3)[..., None]), 0)
        dp = jnp.einsum("btgrk,bsgk->bgrts", do_i, v_j, preferred_element_type=jnp.float32)
        dq_i, dk_j, more = pull_back(p * (dp - _block(delta, i, blocks.queries, axis=3)[..., None]))
        dv_j = jnp.einsum("bgrts,btgrk->bsgk", p.astype(do.dtype), do_i, preferred_element_type=jnp.float32)
        added = _add(dq, dq_i, i), _add(dk, dk_j, j), _add(dv, dv_j, j), jax.tree.map(jnp.add, dtable, more)
        return added, None

    zeros = lambda x: jnp.zeros(x.shape, jnp.float32)
    start = zeros(q), zeros(k), zeros(v), jax.tree.map(zeros, table)
    grads, _ = jax.lax.scan(_whole(visit), start, jnp.asarray(np.array(blocks.pairs, np.int32)))
    dq, dk, dv, dtable = grads
    dtable = jax.tree.map(lambda x, like: x.astype(like.dtype), dtable, table)
    return dq.astype(q.dtype), dk.astype(k.dtype), dv.astype(v.dtype), jax.tree.map(lambda _: None, where), dtable


_attend.defvjp(_forward, _backward)


def _whole(visit: Callable) -> Callable:
    """Keeps a derivative of the surroundings from taking the step apart: what depends on slots alone, as who sees whom,
    would be computed ahead for all pairs of blocks, which is as many numbers as there are scores."""
    return jax.checkpoint(visit, policy=jax.checkpoint_policies.nothing_saveable, prevent_cse=False)


def _block(x: Array | None, i, size: int, axis: int = 1) -> Any:
    return None if x is None else jax.lax.dynamic_slice_in_dim(x, i * size, size, axis)


def _put(x: Array, block: Array, i, axis: int) -> Array:
    return jax.lax.dynamic_update_slice_in_dim(x, block, i * block.shape[axis], axis)


def _add(x: Array, block: Array, i) -> Array:
    old = _block(x, i, block.shape[1])
    return _put(x, old + block, i, axis=1)
