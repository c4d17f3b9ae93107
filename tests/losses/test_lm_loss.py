import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import mesh as meshes
from gen.losses.lm import cross_entropy, likelihood
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
    np.testing.assert_allclose([totals.correct, same.correct], right.sum())
    np.testing.assert_allclose(totals.nats, plain(STATES, HEAD, vocab, 0.0), rtol=1e-5)


@pytest.mark.parametrize("tokens", [1024, 1021])
def test_no_array_holds_the_scores_of_all_tokens(tokens):
    """The temporaries of forward and backward stay far below rows x tokens x vocabulary."""
    states, head = jax.ShapeDtypeStruct((4, tokens, 16), jnp.float32), jax.ShapeDtypeStruct((8192, 16), jnp.float32)
    target, weight = jax.ShapeDtypeStruct((4, tokens), jnp.int32), jax.ShapeDtypeStruct((4, tokens), jnp.float32)

    def loss(states, head, target, weight):
        return cross_entropy(states, head, target, weight, vocab=8192, chunk=256)[0]

    compiled = jax.jit(jax.grad(loss, (0, 1))).lower(states, head, target, weight).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * 1024 * 8192 * 4 / 3


def drawn(rows, tokens, width=4, vocab=7):
    draw = np.random.default_rng(1)
    states, head = (jnp.asarray(draw.normal(size=n), jnp.float32) for n in ((rows, tokens, width), (vocab, width)))
    target = jnp.asarray(draw.integers(0, vocab, (rows, tokens)), jnp.int32)
    return states, head, target, jnp.asarray(draw.uniform(size=(rows, tokens)), jnp.float32)


def loss_of(chunk, vocab=7):
    def loss(states, head, target, weight):
        return cross_entropy(states, head, target, weight, vocab=vocab, z_loss=0.1, chunk=chunk)[0]

    return loss


def score_of(chunk, vocab=7):
    def score(states, head, target, weight):
        found = likelihood(states, head, target, vocab=vocab, temperature=0.7, chunk=chunk)
        return (weight * (found.log_p_BT + jax.lax.stop_gradient(found.entropy_BT))).sum()

    return score


@pytest.mark.parametrize("function", [loss_of, score_of])
def test_a_row_of_prime_length_is_filled_up(function):
    """1021 tokens have no equal parts but of one token: two rows in parts of 2 x 341 are those in one part."""
    arguments = drawn(2, 1021)
    cut, whole = (hasty(jax.value_and_grad(function(chunk), (0, 1)))(*arguments) for chunk in (700, 4096))
    np.testing.assert_allclose(cut[0], whole[0], rtol=1e-6)
    for a, b in zip(cut[1], whole[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6 * np.abs(b).max())


@pytest.mark.parametrize("function", [loss_of, score_of])
@pytest.mark.parametrize(
    ("rows", "tokens", "chunk", "parts"),
    [(1, 1021, 512, 2), (2, 1021, 700, 3), (3, 1024, 2048, 2), (24, 1024, 4096, 8), (4, 1024, 3, 1024), (1, 7, 99, 1)],
)
def test_no_length_has_many_more_parts_than_chunks(function, rows, tokens, chunk, parts):
    """Equal ones where there are some, as 8 of 128 tokens for the 7 that would do."""
    traced = str(jax.make_jaxpr(function(chunk))(*drawn(rows, tokens)))
    assert re.findall(r"\blength=(\d+)", traced) == [str(parts)]


def test_rows_that_are_filled_up_lie_on_a_mesh():
    """Rows over `data`, their tokens over `context` and the head over `tensor`, in parts that none of these divide."""
    states, head, target, weight = drawn(4, 26, vocab=8)
    expected = hasty(jax.value_and_grad(loss_of(4096, 8), (0, 1)))(states, head, target, weight)
    mesh = meshes.make(meshes.MeshConfig(data=2, context=2, tensor=2), jax.devices())
    spread = lambda x: jax.device_put(x, jax.NamedSharding(mesh, jax.P(("data",), ("context",))))
    with jax.set_mesh(mesh):
        got = hasty(jax.value_and_grad(loss_of(12, 8), (0, 1)))(spread(states), head, spread(target), spread(weight))
    np.testing.assert_allclose(got[0], expected[0], rtol=1e-6)
    for a, b in zip(got[1], expected[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
