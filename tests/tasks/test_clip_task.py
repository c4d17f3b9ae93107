"""CLIP's comparison of a batch with itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from gen.losses import contrastive
from gen.models.embedding import l2_normalize
from gen.tasks.clip import Embeddings

PARAMS = {"logit_scale": jnp.float32(1.5), "logit_bias": jnp.float32(-2.0)}


@pytest.fixture
def embeddings():
    return Embeddings(*(l2_normalize(jax.random.normal(jax.random.key(seed), (5, 4))) for seed in (0, 1)))


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_the_loss_is_the_published_one(embeddings, loss):
    image, text = (np.asarray(z, np.float64) for z in embeddings)
    bias = -2.0  # SigLIP's; to a softmax it makes no difference
    logits = np.exp(1.5) * image @ text.T + bias
    if loss == "softmax":
        nll = lambda rows: -np.log(np.diag(np.exp(rows) / np.exp(rows).sum(1, keepdims=True))).mean()
        expected = (nll(logits) + nll(logits.T)) / 2
    else:
        expected = np.log1p(np.exp(-logits * (2 * np.eye(5) - 1))).sum() / 5
    mean, metrics = small.clip(loss).compare(PARAMS, embeddings)
    np.testing.assert_allclose(mean.value(), expected, rtol=1e-5)
    assert metrics["accuracy"].value() == np.mean(logits.argmax(1) == np.arange(5))


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_rows_that_only_fill_a_batch_do_not_count(embeddings, loss):
    whole, _ = small.clip(loss).compare(PARAMS, embeddings, jnp.array([1.0, 1, 1, 0, 0]))
    alone, _ = small.clip(loss).compare(PARAMS, Embeddings(*(z[:3] for z in embeddings)))
    np.testing.assert_allclose(whole.value(), alone.value(), rtol=1e-5)


def test_the_scale_stops_at_a_hundred(embeddings):
    _, metrics = small.clip().compare({"logit_scale": jnp.float32(9.0)}, embeddings)
    assert metrics["logit_scale"].value() == 100


@pytest.mark.parametrize(
    ("x", "slope", "kept"), [(1.0, 3.0, 3.0), (1.0, -3.0, -3.0), (5.0, 3.0, 3.0), (5.0, -3.0, 0.0)]
)
def test_a_bound_is_left_by_the_gradient_that_leads_down_alone(x, slope, kept):
    value, grad = jax.value_and_grad(lambda x: slope * contrastive.at_most(x, 2.0))(jnp.float32(x))
    assert value == slope * min(x, 2.0) and grad == kept
