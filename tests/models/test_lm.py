"""Language models of every kind: what one token may see, and that a cache changes nothing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import mesh as meshes
from gen import spec
from gen.losses.lm import cross_entropy
from gen.mesh import MeshConfig
from gen.models.lm import LMConfig, cache_spec, decode, decode_params, head, lm_spec, logits, prefill, states
from gen.nn.experts import MoEConfig
from gen.nn.rotary import Rotary
from gen.nn.transformer import TransformerConfig
from gen.tasks.lm import LMTask, LMTaskConfig
from tests import small
from tests.peers import hasty

VOCAB, CONTEXT = 13, 16


def lm(more=None, **transformer) -> LMConfig:
    shape = {"width": 16, "layers": 2, "heads": 4, "causal": True} | transformer
    return LMConfig(VOCAB, CONTEXT, TransformerConfig(**shape), **(more or {}))


BARE = {"attention_bias": False, "mlp_bias": False}
SWIGLU = {"activation": "silu", "gated": True}
KINDS = {
    "gpt1": lm({"learned_positions": True, "final_norm": False}, norm_order="post"),
    "gpt2": lm({"learned_positions": True}, activation="gelu_tanh"),
    "llama": lm({"tied": False, "vocab_multiple": 2}, kv_heads=2, norm="rms", rotary=Rotary(), **BARE, **SWIGLU),
    "bloom": lm({"embedding_norm": True}, relative="alibi"),
    "lamda": lm(norm="rms", relative="t5", head_dim=6, gated=True, **BARE),
    "palm": lm({"vocab_multiple": 8}, kv_heads=1, parallel=True, norm_bias=False, rotary=Rotary(), **BARE, **SWIGLU),
    "window": lm(window=3, rotary=Rotary()),
    "experts": lm({"vocab_multiple": 2}, rotary=Rotary(), experts=MoEConfig(4, 2), mlp_bias=False, **SWIGLU),
}


# each kind takes seconds to compile: `make prove` has those whose parts others have
EVERY = [pytest.param(k, marks=() if k in ("gpt1", "llama", "lamda", "experts") else pytest.mark.prove) for k in KINDS]


def weights(cfg):
    return small.draw(lm_spec(cfg), 1)


def rows(count=3, length=10):
    return jnp.asarray(np.random.default_rng(0).integers(0, VOCAB, (count, length)), jnp.int32)


@pytest.mark.parametrize("kind", EVERY)
def test_a_cache_changes_nothing(kind):
    """Prompts of three lengths, read at once and continued a token or two at a time, score like whole rows."""
    cfg, tokens_BT = KINDS[kind], rows()
    params = weights(cfg)
    whole_BTV = hasty(lambda p, t: logits(p, t, cfg))(params, tokens_BT)
    assert whole_BTV.shape == (3, 10, VOCAB)
    row, length_B = jnp.arange(3), jnp.array([2, 5, 6])
    first_BV, cache = hasty(lambda p, t, n: prefill(p, t, n, cfg, slots=12))(params, tokens_BT[:, :6], length_B)
    np.testing.assert_allclose(first_BV, whole_BTV[row, length_B - 1], rtol=1e-4, atol=1e-4)
    flat = decode_params(params, cfg)
    step = hasty(lambda p, t, n, c: decode(p, t, n, c, cfg))
    slot_B = length_B
    for count in (1, 2, 1):
        take = slot_B[:, None] + jnp.arange(count)
        got_BTV, cache = step(flat, tokens_BT[row[:, None], take], slot_B, cache)
        np.testing.assert_allclose(got_BTV, whole_BTV[row[:, None], take], rtol=1e-4, atol=1e-4)
        slot_B = slot_B + count
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype), cache)
    planned = jax.tree.map(lambda s: (s.shape, s.dtype), spec.abstract({"layers": cache_spec(cfg, 3, 12)})["layers"])
    assert shapes == planned


@pytest.mark.parametrize("kind", EVERY)
def test_a_token_depends_on_exactly_those_that_it_may_see(kind):
    """By gradients: of each position's score by each position's embedding."""
    cfg, length = KINDS[kind], 8
    params = weights(cfg)
    segment_1T, position_1T = jnp.array([[1, 1, 1, 2, 2, 2, 2, 2]]), jnp.array([[0, 1, 2, 0, 1, 2, 3, 4]])
    one_hot = jnp.eye(cfg.embedding_rows)[jnp.arange(length) % VOCAB]

    def scores(one_hot_TV, segments):
        own = {**params, "tokens": one_hot_TV @ params["tokens"], "head": head(params)}
        within = {"segment_BT": segment_1T, "position_BT": position_1T} if segments else {}
        return states(own, jnp.arange(length)[None], cfg, **within).states_BTD[0].sum(-1)

    for segments in (False, True):
        jacobian_TTV = hasty(jax.jacobian(lambda x: scores(x, segments)))(one_hot)  # noqa: B023
        depends_TT = np.abs(jacobian_TTV).max(-1) > 1e-7
        allowed_TT = np.tril(np.ones((length, length), bool))
        if segments:
            allowed_TT &= np.asarray(segment_1T[0])[:, None] == np.asarray(segment_1T[0])
        if kind == "window":  # two layers reach twice as far back
            allowed_TT &= np.subtract.outer(np.arange(length), np.arange(length)) <= 2 * 2
        np.testing.assert_array_equal(depends_TT, allowed_TT)


def test_a_document_reads_the_same_wherever_it_lies_in_a_row():
    cfg = KINDS["gpt2"]
    params, tokens_BT = weights(cfg), rows(1, 10)
    alone = states(params, tokens_BT[:, 4:], cfg).states_BTD
    segment_BT = jnp.array([[1] * 4 + [2] * 6])
    position_BT = jnp.array([[0, 1, 2, 3, 0, 1, 2, 3, 4, 5]])
    packed = states(params, tokens_BT, cfg, position_BT=position_BT, segment_BT=segment_BT).states_BTD
    np.testing.assert_allclose(packed[:, 4:], alone, rtol=1e-4, atol=1e-5)


def test_rows_added_to_the_vocabulary_count_nowhere():
    cfg = KINDS["palm"]
    params = weights(cfg)
    assert params["tokens"].shape == (16, 16) and logits(params, rows(), cfg).shape == (3, 10, VOCAB)
    moved = {**params, "tokens": params["tokens"].at[VOCAB:].add(5.0)}

    def loss(params):
        read = states(params, rows(), cfg).states_BTD
        return cross_entropy(read, head(params), rows(), jnp.ones((3, 10)), vocab=VOCAB)[0]

    value, grads = hasty(jax.value_and_grad(loss))(params)
    np.testing.assert_array_equal(value, hasty(loss)(moved))
    np.testing.assert_array_equal(grads["tokens"][VOCAB:], 0)


def test_dropout_needs_keys_and_differs_between_layers_and_rows():
    cfg = dataclasses.replace(KINDS["gpt2"], transformer=dataclasses.replace(KINDS["gpt2"].transformer, dropout=0.5))
    params, tokens_BT = weights(cfg), rows(1).repeat(2, 0)
    read = hasty(lambda key_B: states(params, tokens_BT, cfg, key_B=key_B).states_BTD)
    plain = states(params, tokens_BT, cfg).states_BTD
    np.testing.assert_allclose(plain, states(params, tokens_BT, KINDS["gpt2"]).states_BTD)
    dropped = read(jax.random.split(jax.random.key(0)))
    assert np.abs(dropped - plain).max() > 0.1 and np.abs(dropped[0] - dropped[1]).max() > 0.1


@pytest.mark.parametrize(
    ("kind", "mesh"),
    [
        ("llama", {"context": 2, "fsdp": 2, "tensor": 2}),
        ("experts", {"expert": 4, "data": 2}),
        pytest.param("bloom", {"context": 4, "data": 2}, marks=pytest.mark.prove),
        pytest.param("lamda", {"context": 8}, marks=pytest.mark.prove),
        pytest.param("experts", {"expert": 2, "fsdp": 2, "tensor": 2}, marks=pytest.mark.prove),
    ],
)
def test_loss_and_gradients_on_a_mesh_are_those_of_one_device(kind, mesh):
    cfg = KINDS[kind]
    params, tokens_BT = weights(cfg), rows(8, 16)
    segment_BT = jnp.asarray(np.arange(16)[None].repeat(8, 0) // 11)

    def loss(params):
        read = states(params, tokens_BT, cfg, segment_BT=segment_BT)
        total = cross_entropy(read.states_BTD, head(params), tokens_BT, jnp.ones((8, 16)), vocab=VOCAB, chunk=32)[0]
        return total if read.balance is None else total + read.balance.load_balancing.sum()

    wanted = jax.jit(jax.value_and_grad(loss))(params)
    made = meshes.make(MeshConfig(**{"data": 1} | mesh), jax.devices())
    with jax.set_mesh(made):
        placed = meshes.shardings(lm_spec(cfg), made)
        got = jax.jit(jax.value_and_grad(loss), in_shardings=(placed,), out_shardings=(None, placed))(params)
    np.testing.assert_allclose(got[0], wanted[0], rtol=1e-5)
    largest = max(np.abs(np.asarray(x)).max() for x in jax.tree.leaves(wanted[1]))
    for a, b in zip(jax.tree.leaves(got[1]), jax.tree.leaves(wanted[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * largest)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="rows of 20 tokens are longer than the model's context of 16"):
        logits(weights(KINDS["gpt2"]), rows(1, 20), KINDS["gpt2"])
    with pytest.raises(ValueError, match="causal must be True"):
        lm(causal=False)
    with pytest.raises(ValueError, match="parallel attention and MLP read one norm"):
        lm(parallel=True, norm_order="post")
    with pytest.raises(ValueError, match="experts have no biases"):
        lm(experts=MoEConfig(4, 2))
    for name in ("window", "heads", "layers", "kv_heads", "mlp"):
        with pytest.raises(ValueError, match=rf"^{name}=0 must be at least 1"):
            lm(**{name: 0})
    with pytest.raises(ValueError, match="rotary turns pairs, but heads of 5 numbers are odd"):
        lm(head_dim=5, rotary=Rotary())
    with pytest.raises(ValueError, match="capacity=-1.0 must be above 0"):
        MoEConfig(4, 2, capacity=-1.0)
    with pytest.raises(ValueError, match="vocab_multiple=0 must be at least 1"):
        dataclasses.replace(KINDS["gpt2"], vocab_multiple=0)
    with pytest.raises(ValueError, match="chunk=0 must be at least 1"):
        LMTask(LMTaskConfig(chunk=0, prompt=2), KINDS["gpt2"])


def test_the_cache_lies_on_the_mesh_as_planned():
    cfg = KINDS["llama"]
    made = meshes.make(MeshConfig(data=2, fsdp=2, tensor=2), jax.devices())
    with jax.set_mesh(made):
        _, cache = jax.jit(lambda p, t, n: prefill(p, t, n, cfg, slots=8))(weights(cfg), rows(4, 6), jnp.full(4, 6))
        planned = meshes.shardings({"layers": cache_spec(cfg, 4, 8)}, made)["layers"]
    for layer, place in zip(cache, planned, strict=True):
        for name in ("key", "value"):
            assert layer[name].sharding.is_equivalent_to(place[name], 4)


def test_memory_grows_linearly_with_length():
    """Forward and backward of a small model, compiled and not run: 32,768 tokens need four times what 8,192 do."""

    def temporary(length):
        transformer = TransformerConfig(16, 2, 2, causal=True, rotary=Rotary(), remat="full")
        cfg = LMConfig(64, length, transformer)
        shape = jax.ShapeDtypeStruct((1, length), jnp.int32)

        def loss(params, tokens_BT):
            read = states(params, tokens_BT, cfg).states_BTD
            return cross_entropy(read, head(params), tokens_BT, jnp.ones(tokens_BT.shape), vocab=64)[0]

        compiled = jax.jit(jax.grad(loss)).lower(spec.abstract(lm_spec(cfg)), shape).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary(32_768) < 4.5 * temporary(8192)
