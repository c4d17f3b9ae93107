import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen.losses.lm import cross_entropy
from tests.peers import hasty

B, T, D, V = 3, 8, 5, 11
DRAW = np.random.default_rng(0)
STATES = jnp.asarray(DRAW.normal(size=(B, T, D)), jnp.float32)
HEAD = jnp.asarray(DRAW.normal(size=(V, D)), jnp.float32)
TARGET = jnp.asarray(DRAW.integers(0, V - 2, (B, T)), jnp.int32)
WEIGHT = jnp.asarray(DRAW.choice([0, 1, 0.5], (B, T)), jnp.float32)


def plain(states, head, vocab, z_loss):
    """All scores at once, and autodiff."""
    logits = (states @ head.T)[..., :vocab]
    log_sum = jax.nn.logsumexp(logits, -1)
    nats = log_sum - jnp.take_along_axis(logits, TARGET[..., None], -1)[..., 0]
    return (WEIGHT * (nats + z_loss * log_sum**2)).sum()


@pytest.mark.parametrize(("vocab", "z_loss", "chunk"), [(V, 0.0, 4096), (V, 0.1, 6), (V - 2, 0.1, 12), (V, 0.0, 1)])
def test_loss_and_gradients_in_chunks_are_those_of_all_scores(vocab, z_loss, chunk):
    def chunked(states, head):
        loss, totals = cross_entropy(states, head, TARGET, WEIGHT, vocab=vocab, z_loss=z_loss, chunk=chunk)
        return 3 * loss, totals  # a cotangent other than one

    (got, totals), grads = hasty(jax.value_and_grad(chunked, (0, 1), has_aux=True))(STATES, HEAD)
    wanted, expected = hasty(jax.value_and_grad(lambda s, h: 3 * plain(s, h, vocab, z_loss), (0, 1)))(STATES, HEAD)
    np.testing.assert_allclose(got, wanted, rtol=1e-5)
    for a, b in zip(grads, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    loss, same = hasty(lambda: cross_entropy(STATES, HEAD, TARGET, WEIGHT, vocab=vocab, z_loss=z_loss, chunk=chunk))()
    np.testing.assert_allclose(3 * loss, wanted, rtol=1e-5)  # without a gradient
    right = (np.asarray(STATES @ HEAD.T)[..., :vocab].argmax(-1) == TARGET) * WEIGHT
    np.testing.assert_allclose([totals.right, same.right], right.sum())
    np.testing.assert_allclose(totals.nats, plain(STATES, HEAD, vocab, 0.0), rtol=1e-5)


def test_no_array_holds_the_scores_of_all_tokens():
    """The temporaries of forward and backward stay far below rows x tokens x vocabulary."""
    states, head = jax.ShapeDtypeStruct((4, 1024, 16), jnp.float32), jax.ShapeDtypeStruct((8192, 16), jnp.float32)
    target, weight = jax.ShapeDtypeStruct((4, 1024), jnp.int32), jax.ShapeDtypeStruct((4, 1024), jnp.float32)

    def loss(states, head, target, weight):
        return cross_entropy(states, head, target, weight, vocab=8192, chunk=256)[0]

    compiled = jax.jit(jax.grad(loss, (0, 1))).lower(states, head, target, weight).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * 1024 * 8192 * 4 / 3
