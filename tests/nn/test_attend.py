"""The programs for attention against each other and against the definition, one query and head at a time."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import mesh as meshes
from gen.mesh import MeshConfig
from gen.nn import attention as attends
from gen.nn import relative
from gen.nn.attention import choose, dense, dot_product_attention
from gen.nn.attention_mask import NO_MASK, MaskConfig, MaskInputs, segment_mask
from gen.nn.blockwise import blockwise
from gen.nn.splash import splash
from tests.peers import hasty

B, T, H, G, K = 2, 22, 4, 2, 8
RULES = {
    "all": MaskConfig(),
    "causal": MaskConfig(causal=True),
    "window": MaskConfig(causal=True, window=5),
    "window both ways": MaskConfig(window=5),
    "alibi": MaskConfig(causal=True, relative="alibi"),
    "t5": MaskConfig(causal=True, relative="t5"),
    "t5 both ways, window": MaskConfig(window=9, relative="t5"),
}


def draws():
    draw = np.random.default_rng(0)
    arrays = [(B, T, H, K), (B, T, G, K), (B, T, G, K), (relative.BUCKETS, H)]
    return tuple(jnp.asarray(draw.normal(size=shape), jnp.float32) for shape in arrays)


SEGMENTS = np.sort(np.random.default_rng(1).integers(0, 3, (B, T)), axis=1).astype(np.int32)


def reference(query, key, value, rule, segments, table):
    """Attention in float64, straight from the definition."""
    query, key, value, table = (np.float64(x) for x in (query, key, value, table))
    out = np.zeros(query.shape)
    for b, i, h in itertools.product(range(B), range(T), range(H)):
        seen = [
            j
            for j in range(T)
            if not (rule.causal and j > i)
            and not (rule.window and abs(i - j) >= rule.window)
            and (segments is None or segments[b, i] == segments[b, j])
        ]
        scores = key[b, seen, h // (H // G)] @ query[b, i, h] / np.sqrt(K)
        if rule.relative == "alibi":
            scores -= 2.0 ** (-8 * (h + 1) / H) * (i - np.array(seen))
        if rule.relative == "t5":
            scores += [table[bucket_of(i - j, rule.causal), h] for j in seen]
        weights = np.exp(scores - scores.max())
        out[b, i, h] = (weights / weights.sum()) @ value[b, seen, h // (H // G)]
    return out


def bucket_of(distance, causal):
    """T5's buckets as its paper says them: near distances have their own, far ones share logarithmic ones."""
    buckets, first = (32, 0) if causal else (16, 16 if distance < 0 else 0)
    distance = max(distance, 0) if causal else abs(distance)
    exact = buckets // 2
    if distance < exact:
        return first + distance
    return first + min(exact + int(np.log(distance / exact) / np.log(128 / exact) * (buckets - exact)), buckets - 1)


@pytest.mark.parametrize("name", RULES)
def test_values_and_gradients_are_those_of_the_definition(name):
    rule, arrays = RULES[name], draws()
    for segments in (None, SEGMENTS):
        where = NO_MASK if segments is None else segment_mask(jnp.asarray(segments))

        def loss(program, query, key, value, table, where=where):
            y = program(query, key, value, rule, where, table)
            return jnp.sum(y * jnp.cos(jnp.arange(y.size)).reshape(y.shape)), y

        def gradient(program, loss=loss):
            by_all = jax.grad(functools.partial(loss, program), argnums=(0, 1, 2, 3), has_aux=True)
            return hasty(by_all)(*arrays)

        wanted, y = gradient(dense)
        np.testing.assert_allclose(y, reference(*arrays[:3], rule, segments, arrays[3]), rtol=1e-4, atol=1e-5)
        got, y = gradient(functools.partial(blockwise, block=6))  # 22 is not a multiple: the last block is filled up
        np.testing.assert_allclose(y, reference(*arrays[:3], rule, segments, arrays[3]), rtol=1e-4, atol=1e-5)
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


def test_blocks_that_nobody_sees_are_not_visited():
    from gen.nn.blockwise import _pairs

    assert _pairs(MaskConfig(causal=True), True, 4, 4, 3, 3) == ((0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2))
    assert len(_pairs(MaskConfig(causal=True, window=4), True, 4, 4, 100, 100)) == 100 + 99
    assert _pairs(MaskConfig(causal=True), False, 4, 4, 2, 2) == ((0, 0), (0, 1), (1, 0), (1, 1))
    # the nearest key of a window of 5 that the second block of queries sees lies one before the last of the first
    assert _pairs(MaskConfig(causal=True, window=1), True, 4, 4, 2, 2) == ((0, 0), (1, 1))


def test_memory_grows_linearly_with_length():
    """Of the compiled program, forward and backward; what `dense` needs beside it grows four times as fast."""

    def temporary(program, length):
        shape = jax.ShapeDtypeStruct((1, length, 2, 8), jnp.float32)
        loss = lambda q, k, v: program(q, k, v, MaskConfig(causal=True)).sum()
        compiled = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).lower(shape, shape, shape).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    short, long = (temporary(blockwise, n) for n in (4096, 16_384))
    assert long < 4.5 * short
    assert temporary(dense, 4096) > 10 * short


@pytest.mark.parametrize("rule", [MaskConfig(causal=True), MaskConfig(causal=True, window=100)])
def test_the_tpu_kernel_computes_the_same(rule):
    """Interpreted, as there is no TPU here."""
    draw = np.random.default_rng(2)
    query, key, value = (jnp.asarray(draw.normal(size=(1, 256, n, 128)), jnp.float32) for n in (2, 1, 1))
    where = segment_mask(jnp.asarray(np.arange(256)[None] // 150, jnp.int32))
    expected = dense(query, key, value, rule, where)
    np.testing.assert_allclose(splash(query, key, value, rule, where, interpret=True), expected, atol=2e-5)


def shapes(length, heads=16, groups=8, width=64, dtype=jnp.bfloat16):
    row = lambda n: jax.ShapeDtypeStruct((4, length, n, width), dtype)
    return row(heads), row(groups)


def test_the_program_fits_machine_and_shapes(monkeypatch):
    causal, seen = MaskConfig(causal=True), segment_mask(jnp.zeros((4, 1), jnp.int32))
    assert choose("cpu", *shapes(1024), causal, NO_MASK) == "dense"
    assert choose("cpu", *shapes(2048), causal, NO_MASK) == "blockwise"
    assert choose("tpu", *shapes(2048), causal, seen) == "splash"
    assert choose("tpu", *shapes(2040), causal, seen) == "blockwise"
    assert choose("tpu", *shapes(1024), MaskConfig(causal=True, relative="alibi"), seen) == "dense"
    # no cuDNN here: asked, it says so, and the others take its place
    assert choose("gpu", *shapes(2048), causal, NO_MASK) == "blockwise"
    monkeypatch.setattr(attends, "cudnn", lambda query, *rest: query)
    assert choose("gpu", *shapes(2048), causal, NO_MASK) == "cudnn"
    assert choose("gpu", *shapes(2048), causal, seen) == "cudnn"
    assert choose("gpu", *shapes(8192), causal, seen) == "blockwise"
    assert choose("gpu", *shapes(2048), MaskConfig(causal=True, relative="t5"), NO_MASK) == "blockwise"
    one = (shapes(1)[0], shapes(2048)[1])
    assert choose("gpu", *one, causal, MaskInputs(slot_BT=jnp.zeros((4, 1), jnp.int32))) == "dense"


def test_a_program_that_is_asked_for_and_cannot_is_no_other_quietly(monkeypatch):
    q, k = (jnp.zeros(x.shape, x.dtype) for x in shapes(128))
    with pytest.raises(ValueError, match="attention=cudnn cannot compute this case .*on a cpu.*; set auto"):
        dot_product_attention(q, k, k, MaskConfig(causal=True), method="cudnn")
    monkeypatch.setattr(attends, "_platform", lambda: "tpu")
    with pytest.raises(ValueError, match="attention=splash cannot compute this case .*alibi"):
        dot_product_attention(q, k, k, MaskConfig(causal=True, relative="alibi"), method="splash")


@pytest.mark.parametrize("method", ["dense", "blockwise"])
def test_rows_that_a_mesh_cuts_over_context_see_the_same(method):
    rule = MaskConfig(causal=True, window=13, relative="t5")
    draw = np.random.default_rng(3)
    arrays = [
        jnp.asarray(draw.normal(size=s), jnp.float32) for s in ((2, 16, H, K), (2, 16, G, K), (2, 16, G, K), (32, H))
    ]
    where = segment_mask(jnp.asarray(np.arange(16)[None].repeat(2, 0) // 9, jnp.int32))

    def loss(query, key, value, table):
        cut = lambda x, heads: meshes.shard(x, "batch", "sequence", heads, None)
        y = dot_product_attention(
            cut(query, "heads"), cut(key, "heads"), cut(value, "heads"), rule, where, table, method
        )
        return jnp.sum(y * jnp.cos(jnp.arange(y.size)).reshape(y.shape))

    wanted = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2, 3)))(*arrays)
    mesh = meshes.make(MeshConfig(data=1, context=4, tensor=2), jax.devices())
    with jax.set_mesh(mesh):
        got = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2, 3)))(*arrays)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)
