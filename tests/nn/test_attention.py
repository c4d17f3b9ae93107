import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import spec
from gen.nn.projections import attention_layer, attention_layer_spec

B, T, N, D, E, H = 2, 5, 3, 12, 7, 3


def perturbed(specs, key):
    """Parameters of which none is zero."""
    draw = jax.jit(lambda key: jax.tree.map(lambda x: x + 0.1, spec.initialize(specs, key)))
    return draw(key)


@pytest.fixture(scope="module")
def params():
    return perturbed(attention_layer_spec(D, H, context=E), jax.random.key(0))


@pytest.fixture(scope="module")
def own(params):
    """The parameters without those of a context."""
    return {name: leaf for name, leaf in params.items() if not name.startswith("context")}


@pytest.fixture
def x_BTD():
    return jax.random.normal(jax.random.key(1), (B, T, D))


@pytest.fixture
def context_BNE():
    return jax.random.normal(jax.random.key(2), (B, N, E))


def reference(params, x, context=None, visible=None):
    """Attention in float64, one example, query and head at a time; `visible(b, query, key)` hides keys."""
    p = jax.tree.map(np.float64, params)
    x, out = np.float64(x), np.zeros(x.shape)
    for b in range(len(x)):
        for head in range(H):
            read = lambda name, source, head=head: source @ p[name]["kernel"][:, head] + p[name]["bias"][head]
            keys, values = read("key", x[b]), read("value", x[b])
            if context is not None:
                outside = np.float64(context[b])
                keys = np.concatenate([read("context_key", outside), keys])
                values = np.concatenate([read("context_value", outside), values])
            for i, query in enumerate(read("query", x[b])):
                shown = [j for j in range(len(keys)) if visible is None or visible(b, i, j)]
                weights = np.exp(keys[shown] @ query / np.sqrt(D // H))
                out[b, i] += (weights / weights.sum()) @ values[shown] @ p["out"]["kernel"][head]
    return out + p["out"]["bias"]


def test_self_attention_is_the_formula(own, x_BTD):
    np.testing.assert_allclose(attention_layer(own, x_BTD), reference(own, x_BTD), rtol=1e-4, atol=1e-5)


def test_context_keys_come_first_and_are_masked_per_example(params, x_BTD, context_BNE):
    mask = np.ones((B, 1, 1, N + T), bool)
    mask[0, ..., 1], mask[1, ..., [0, 2]] = False, False
    expected = reference(params, x_BTD, context_BNE, lambda b, i, j: mask[b, 0, 0, j])
    y_BTD = attention_layer(params, x_BTD, mask=jnp.asarray(mask), context_BSE=context_BNE)
    np.testing.assert_allclose(y_BTD, expected, rtol=1e-4, atol=1e-5)


def test_a_width_that_does_not_divide_into_heads_is_refused():
    with pytest.raises(ValueError, match="width 10 is not divisible by 4 heads"):
        attention_layer_spec(10, 4)
