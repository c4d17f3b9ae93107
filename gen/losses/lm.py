"""Cross-entropy of next tokens, without ever holding the scores of all tokens at once.

    loss = sum_t w_t (logsumexp(l_t) - l_t[target_t]) + z * w_t logsumexp(l_t)^2,        l_t = W h_t

The scores of a chunk of tokens are made, turned into their loss and into the gradient by states and head, and dropped:
the gradient by the scores is known in closed form, softmax minus one-hot, so that nothing is computed twice. The z-loss
(PaLM, arXiv 2204.02311, section 5) keeps softmax's denominator near one.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gen import mesh


class Totals(NamedTuple):
    """Sums over tokens times their weights: cross-entropy in nats, logsumexp squared, and right first guesses."""

    nats: Float[Array, ""]
    z: Float[Array, ""]
    correct: Float[Array, ""]


def cross_entropy(
    states_BTD: Float[Array, "B T D"],
    head_VD: Float[Array, "V D"],
    target_BT: Int[Array, "B T"],
    weight_BT: Float[Array, "B T"],
    *,
    vocab: int,
    z_loss: float = 0.0,
    chunk: int = 4096,
) -> tuple[Float[Array, ""], Totals]:
    """The loss with its z-loss, a sum, and what it is made of. Of the head's rows the first `vocab` count.

    At most `chunk` tokens are scored at a time, on each device, and one of every row at least.
    """
    return _loss((vocab, z_loss, chunk), states_BTD, head_VD, target_BT, weight_BT)


class Likelihood(NamedTuple):
    """Of each target its log-probability, and the entropy of what it was drawn from, in nats."""

    log_p_BT: Float[Array, "B T"]
    entropy_BT: Float[Array, "B T"]


def likelihood(
    states_BTD: Float[Array, "B T D"],
    head_VD: Float[Array, "V D"],
    target_BT: Int[Array, "B T"],
    *,
    vocab: int,
    temperature: float = 1.0,
    chunk: int = 4096,
) -> Likelihood:
    """The targets under softmax(l / temperature); arguments as of `cross_entropy`.

    A chunk's scores are made again in the backward pass. The entropy has no gradient.
    """
    count = _chunks(target_BT.shape[0], target_BT.shape[1], chunk)
    head = mesh.shard(head_VD.astype(states_BTD.dtype)[:vocab], "vocab" if vocab == len(head_VD) else None, None)

    @jax.checkpoint
    def visit(part: tuple[Array, Array]) -> Likelihood:
        states_BCD, target_BC = part
        logits_BCV = jnp.einsum("bcd,vd->bcv", states_BCD, head, preferred_element_type=jnp.float32) / temperature
        all_BCV = jax.nn.log_softmax(mesh.shard(logits_BCV, "batch", None, "vocab"))
        log_p_BC = jnp.take_along_axis(all_BCV, target_BC[..., None], axis=-1)[..., 0]
        return Likelihood(log_p_BC, -(jnp.exp(all_BCV) * all_BCV).sum(-1))

    found = jax.lax.map(visit, (_cut(states_BTD, count), _cut(target_BT, count)))
    log_p_BT, entropy_BT = (_join(x, target_BT.shape[1]) for x in found)
    return Likelihood(log_p_BT, jax.lax.stop_gradient(entropy_BT))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _loss(static, states_BTD, head_VD, target_BT, weight_BT):
    totals = _walk(static, states_BTD, head_VD, target_BT, weight_BT, gradients=False)[0]
    return totals.nats + static[1] * totals.z, totals


def _forward(static, states_BTD, head_VD, target_BT, weight_BT):
    totals, dstates_BTD, dhead_VD = _walk(static, states_BTD, head_VD, target_BT, weight_BT, gradients=True)
    return (totals.nats + static[1] * totals.z, totals), (dstates_BTD, dhead_VD)


def _backward(static, saved, cotangents):
    scale = cotangents[0]  # the totals are for looking at
    dstates_BTD, dhead_VD = saved
    return (scale * dstates_BTD).astype(dstates_BTD.dtype), (scale * dhead_VD).astype(dhead_VD.dtype), None, None


_loss.defvjp(_forward, _backward)


def _walk(static, states_BTD, head_VD, target_BT, weight_BT, *, gradients: bool):
    """Totals over all chunks, and the gradients by states and head where they are asked for."""
    vocab, z_loss, chunk = static
    rows, tokens = target_BT.shape
    count = _chunks(rows, tokens, chunk)
    parts = [_cut(x, count) for x in (states_BTD, target_BT, weight_BT)]
    # gathered over what cuts its width once, not for every chunk
    head = mesh.shard(head_VD.astype(states_BTD.dtype), "vocab", None)
    real_V = jnp.arange(head.shape[0]) < vocab

    def visit(carry, part):
        totals, dhead_DV = carry
        states_BCD, target_BC, weight_BC = part
        logits_BCV = jnp.einsum("bcd,vd->bcv", states_BCD, head, preferred_element_type=jnp.float32)
        if vocab < head.shape[0]:
            logits_BCV = jnp.where(real_V, logits_BCV, -1e30)
        logits_BCV = mesh.shard(logits_BCV, "batch", None, "vocab")
        log_sum_BC = jax.nn.logsumexp(logits_BCV, axis=-1)
        target_score_BC = jnp.take_along_axis(logits_BCV, target_BC[..., None], axis=-1)[..., 0]
        right_BC = target_score_BC >= logits_BCV.max(-1)
        own = (log_sum_BC - target_score_BC, jnp.square(log_sum_BC), right_BC)
        totals = Totals(*(old + (weight_BC * x).sum() for old, x in zip(totals, own, strict=True)))
        if not gradients:
            return (totals, dhead_DV), None
        push_BC = weight_BC * (1 + 2 * z_loss * log_sum_BC)
        p_BCV = jnp.exp(logits_BCV - log_sum_BC[..., None]) * push_BC[..., None]
        is_target_BCV = target_BC[..., None] == jnp.arange(head.shape[0])
        dlogits_BCV = jnp.where(is_target_BCV, p_BCV - weight_BC[..., None], p_BCV).astype(states_BCD.dtype)
        dstates_BCD = jnp.einsum("bcv,vd->bcd", dlogits_BCV, head)
        dhead_DV += jnp.einsum("bcd,bcv->dv", states_BCD, dlogits_BCV, preferred_element_type=jnp.float32)
        return (totals, dhead_DV), dstates_BCD

    start = Totals(*[jnp.float32(0)] * 3), jnp.zeros(head.shape[::-1] if gradients else (), jnp.float32)
    (totals, dhead_DV), dstates = jax.lax.scan(visit, start, parts)
    if not gradients:
        return totals, None, None
    return totals, _join(dstates, tokens), dhead_DV.T.astype(head_VD.dtype)


def _chunks(rows: int, tokens: int, chunk: int) -> int:
    """Into how many parts a row is cut: as few as leave a device no more than `chunk` tokens in each, or fewer than
    twice as many that are equal; where none are, the row is filled up."""
    fewest = -(-tokens // max(1, chunk // mesh.rows_here(rows)))
    return next((n for n in range(fewest, 2 * fewest) if tokens % n == 0), fewest)


def _cut(x: Array, count: int) -> Array:
    """`mesh.cut_rows` of rows that are filled up with zeros, as their weights are, to `count` equal parts."""
    return mesh.cut_rows(jnp.pad(x, [(0, -x.shape[i] % count if i == 1 else 0) for i in range(x.ndim)]), count)


def _join(x: Array, tokens: int) -> Array:
    """The inverse of `_cut`, for rows of `tokens`."""
    x = jnp.moveaxis(x, 0, 2)
    return x.reshape(x.shape[0], -1, *x.shape[3:])[:, :tokens]
