import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import spec
from gen.nn.activations import ACTIVATIONS
from gen.nn.attention_mask import MaskInputs
from gen.nn.transformer import TransformerConfig, attention_fn_for, block, transformer, transformer_spec
from tests.peers import hasty

CFG = TransformerConfig(width=12, layers=3, heads=2, mlp=20, causal=True)


@pytest.fixture(scope="module")
def params():
    return jax.jit(lambda key: spec.initialize(transformer_spec(CFG), key))(jax.random.key(0))


@pytest.fixture
def x_BTD():
    return jax.random.normal(jax.random.key(1), (2, 5, 12))


def test_the_scanned_stack_is_its_blocks_in_order(params, x_BTD):
    where = MaskInputs(query_BT=jnp.ones((1, 5), jnp.int32), key_BS=jnp.array([[1, 1, 0, 1, 1]]))
    expected = x_BTD
    for i in range(CFG.layers):
        expected, _ = block(
            jax.tree.map(lambda leaf, i=i: leaf[i], params), expected, CFG, attention_fn_for(CFG, where)
        )
    np.testing.assert_allclose(transformer(params, x_BTD, CFG, where), expected, rtol=1e-5, atol=1e-6)


def test_what_the_backward_pass_keeps_changes_no_gradient(params, x_BTD):
    def gradient(remat):
        cfg = dataclasses.replace(CFG, remat=remat)
        return hasty(jax.grad(lambda params: jnp.sum(transformer(params, x_BTD, cfg) ** 2)))(params)

    kept = gradient("none")
    for remat in ("dots", "full"):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), gradient(remat), kept)


def test_activations_are_their_formulas():
    x = np.linspace(-4, 4, 41)
    erf = np.array([2 / np.sqrt(np.pi) * np.trapezoid(np.exp(-(s**2)), s) for s in np.linspace(0, x / 2**0.5, 4001).T])
    expected = {
        "gelu": x * (1 + erf) / 2,
        "gelu_tanh": x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2,
        "quick_gelu": x / (1 + np.exp(-1.702 * x)),
        "silu": x / (1 + np.exp(-x)),
        "relu": np.maximum(x, 0),
    }
    assert expected.keys() == ACTIVATIONS.keys()
    for name, y in expected.items():
        np.testing.assert_allclose(ACTIVATIONS[name](jnp.asarray(x)), y, atol=1e-5, err_msg=name)
