"""What bfloat16 may not cost: gradients that are sums over all tokens, and decoding that computes what reading does."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen.models.lm import LMConfig, decode_params, lm_spec, logits, states
from gen.nn.experts import MoEConfig
from gen.nn.transformer import TransformerConfig
from gen.spec import initialize

BLOCK = TransformerConfig(width=16, layers=1, heads=2, causal=True, stddev=0.2)
WIDE = LMConfig(vocab=8, context=512, transformer=BLOCK, learned_positions=True)


@pytest.fixture(scope="module")
def gradients():
    """Those of a mean over 8 x 512 tokens of 8 kinds, in float32 and in bfloat16."""
    params = initialize(lm_spec(WIDE), jax.random.key(0))
    tokens_BT = jax.random.randint(jax.random.key(1), (8, 512), 0, 8)
    push_BTD = 0.2 + jax.random.normal(jax.random.key(2), (8, 512, 16))

    def push(params, cfg):
        return (states(params, tokens_BT, cfg).states_BTD.astype(jnp.float32) * push_BTD).sum()

    grad = jax.jit(jax.grad(push), static_argnums=1)
    return grad(params, WIDE), grad(params, dataclasses.replace(WIDE, dtype="bfloat16"))


@pytest.mark.parametrize("part", ["tokens", "positions", "blocks/mlp/out/bias", "blocks/attention/out/bias"])
def test_what_all_tokens_share_gets_a_gradient_summed_in_float32(gradients, part):
    exact, rounded = gradients
    for name in part.split("/"):
        exact, rounded = exact[name], rounded[name]
    assert rounded.dtype == jnp.float32
    # each term is rounded to 8 bits, independently; a sum in bfloat16 is off by several per cent
    assert np.linalg.norm(rounded - exact) < 0.01 * np.linalg.norm(exact)


def test_decoding_computes_with_the_weights_that_reading_does():
    transformer = dataclasses.replace(BLOCK, mlp_bias=False, experts=MoEConfig(4, 2), relative="t5")
    cfg = LMConfig(vocab=8, context=16, transformer=transformer, dtype="bfloat16")
    params = initialize(lm_spec(cfg), jax.random.key(0))
    own = decode_params(params, cfg)
    layer, stacked = own["blocks"][0], params["blocks"]
    np.testing.assert_array_equal(layer["mlp"]["router"], stacked["mlp"]["router"][0])
    np.testing.assert_array_equal(layer["mlp_norm"]["scale"], stacked["mlp_norm"]["scale"][0])
    np.testing.assert_array_equal(layer["attention"]["query"]["bias"], stacked["attention"]["query"]["bias"][0])
    np.testing.assert_array_equal(own["relative"], params["relative"])
    large = [own["tokens"], layer["mlp"]["in"], layer["mlp"]["out"], layer["attention"]["out"]["rows"]]
    assert {x.dtype for x in large} == {jnp.dtype("bfloat16")}


def test_scores_do_not_depend_on_what_follows_where_experts_have_a_capacity():
    transformer = dataclasses.replace(BLOCK, mlp_bias=False, experts=MoEConfig(4, 2, capacity=0.5))
    cfg = LMConfig(vocab=8, context=32, transformer=transformer)
    params = initialize(lm_spec(cfg), jax.random.key(0))
    tokens_BT = jax.random.randint(jax.random.key(1), (2, 32), 0, 8)
    other_BT = tokens_BT.at[:, 24:].set((tokens_BT[:, 24:] + 3) % 8)
    scores, others = logits(params, tokens_BT, cfg), logits(params, other_BT, cfg)
    np.testing.assert_allclose(scores[:, :24], others[:, :24], atol=1e-5)
    np.testing.assert_allclose(scores[:, :24], logits(params, tokens_BT[:, :24], cfg), atol=1e-5)
    trained, changed = states(params, tokens_BT, cfg).states_BTD, states(params, other_BT, cfg).states_BTD
    assert np.abs(trained - changed)[:, :24].max() > 1e-3, "in training, what follows takes places with an expert"
