"""The same numbers on every mesh: gradients and a whole training step of each model, and every layer by itself.

A loss can be right while a gradient is wrong by its own size (docs/log.md, "A wrong gradient behind a right loss"), so
what is compared with one device is the gradients, of inputs and of parameters.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from gen import mesh as meshes
from gen import spec, tree
from gen.mesh import MeshConfig
from gen.nn import conv, linear, mlp, norms, projections, resnet, transformer
from gen.training import state as states
from gen.training import step
from gen.training.global_batch import make_global_batch
from gen.training.optim import OptimConfig
from tests import small

MESHES = [{"data": 8}, {"fsdp": 4, "tensor": 2}, {"data": 2, "fsdp": 2, "tensor": 2}]
LR = 1e-3


def mesh_of(shape):
    return meshes.make(MeshConfig(**{"data": 1} | shape), jax.devices())


def worst(got, want):
    """The largest difference of any leaf, relative to the leaf's largest value.

    A leaf ten times smaller than the largest is measured by that: the gradient of a key bias is nothing but rounding.
    """
    floor = 1e-1 * max(np.abs(np.asarray(w)).max() for w in jax.tree.leaves(want))
    difference = lambda g, w: np.abs(np.asarray(g) - np.asarray(w)).max() / max(np.abs(np.asarray(w)).max(), floor)
    return max(jax.tree.leaves(jax.tree.map(difference, got, want)))


# ---- layers

IMAGE, TOKENS = (8, 8, 8, 16), (8, 6, 16)
TOWER = transformer.TransformerConfig(16, 2, 4, causal=True)
LAYERS = {
    "linear": (linear.linear_spec(16, 8), linear.linear, TOKENS),
    "layer_norm": (norms.norm_spec(16), norms.layer_norm, TOKENS),
    "group_norm": (norms.norm_spec(16), functools.partial(norms.group_norm, groups=4), IMAGE),
    "attention": (projections.attention_layer_spec(16, 4), projections.attention_layer, TOKENS),
    "mlp": (mlp.mlp_spec(16, 32), functools.partial(mlp.mlp, activation="gelu"), TOKENS),
    "transformer": (transformer.transformer_spec(TOWER), lambda p, x: transformer.transformer(p, x, TOWER), TOKENS),
    "conv_1x1": (conv.conv_spec(16, 8, size=1), conv.conv, IMAGE),
    "conv_stride_1": (conv.conv_spec(16, 16), conv.conv, IMAGE),
    "conv_stride_2": (conv.conv_spec(16, 16), functools.partial(conv.conv, stride=2), IMAGE),
    "conv_large_stride_1": (conv.conv_spec(16, 16), conv.conv, IMAGE),
    "conv_large_stride_2": (conv.conv_spec(16, 16), functools.partial(conv.conv, stride=2), IMAGE),
}
for resample in ("none", "down", "up"):
    LAYERS[f"resnet_{resample}"] = (
        resnet.resnet_spec(16, 8, 12, scale_shift=True),
        functools.partial(
            lambda p, x, resample: resnet.resnet(p, x, x[:, 0, 0, :12], groups=4, scale_shift=True, resample=resample),
            resample=resample,
        ),
        IMAGE,
    )


@pytest.mark.parametrize("name", LAYERS)
def test_a_layers_gradients_are_those_of_one_device(name, monkeypatch):
    if "large" in name:
        monkeypatch.setattr(conv, "WIDE", 16)
        monkeypatch.setattr(conv, "LARGE", 64)
    specs, layer, shape = LAYERS[name]
    params = small.draw(specs, 1)
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)

    def loss(params, x):
        y = layer(params, x)
        return (y * jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)).sum()

    want = jax.jit(jax.grad(loss, argnums=(0, 1)))(params, x)
    for shape in MESHES:
        mesh = mesh_of(shape)
        with jax.set_mesh(mesh):
            channels = "channels" if x.ndim == 4 else None
            layout = meshes.partition(("batch", *[None] * (x.ndim - 2), channels), x.shape, dict(mesh.shape), name)
            placed = (meshes.shardings(specs, mesh), NamedSharding(mesh, layout))
            got = jax.jit(jax.grad(loss, argnums=(0, 1)), in_shardings=placed, out_shardings=placed)(params, x)
        assert worst(got, want) < 1e-5, shape


# ---- a training step of each model


def one_step(task, mesh):
    """Gradients as Adam sees them, parameters after a step, and metrics, all on the host."""
    # Adam divides by the gradient's size: without an epsilon above rounding, weights whose gradient is nothing but
    # rounding (a key's bias) would move by a full learning rate in a direction that means nothing.
    optim = OptimConfig(lr=LR, eps=1e-4, schedule="constant", clip=None, weight_decay=0.1, ema=0.9)
    size = 16
    with jax.set_mesh(mesh):
        init = lambda key: states.init(task, optim, 10, key, small.origin(task))
        placed = states.shardings(task, jax.eval_shape(init, jax.random.key(0)), mesh)
        state = jax.jit(init, out_shardings=placed)(jax.random.key(0))
        drawn = {name: small.params(task, name) for name in task.players}
        params = {name: jax.device_put(own, placed.players[name].params) for name, own in drawn.items()}
        state = state.replace(players={name: p.replace(params=params[name]) for name, p in state.players.items()})
        whole = NamedSharding(mesh, P())
        frozen = jax.device_put(small.frozen(task), whole)
        batch = make_global_batch(small.Noise(task, size).batch, 3, size, mesh)
        new, metrics = jax.jit(step.make(task, optim, 10, 1), out_shardings=(placed, None))(
            state, frozen, batch, jax.random.key(1)
        )
    moments = {path: x for path, x in tree.paths({n: p.opt for n, p in new.players.items()}) if "/mu/" in f"/{path}/"}
    return jax.device_get((moments, {n: p.params for n, p in new.players.items()}, metrics, dict(batch)))


@pytest.mark.prove  # four compilations of a whole step for each model
@pytest.mark.parametrize("family", small.FAMILIES)
def test_a_training_step_is_that_of_one_device(family, tmp_path_factory):
    task = small.FAMILIES[family]()
    want_grads, want_params, want_metrics, want_batch = one_step(task, meshes.make(MeshConfig(), jax.devices()[:1]))
    assert len(want_grads) == sum(len(spec.flatten(player.specs)) for player in task.players.values())
    for shape in MESHES:
        grads, params, metrics, batch = one_step(task, mesh_of(shape))
        jax.tree.map(np.testing.assert_array_equal, batch, want_batch)
        # noise and answers are drawn inside: a different draw would move the loss far more than rounding does
        for name, value in metrics.items():
            np.testing.assert_allclose(value, want_metrics[name], rtol=2e-5, atol=1e-5, err_msg=f"{name} on {shape}")
        assert worst(grads, want_grads) < 1e-5, shape
        moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), params, want_params)
        assert max(jax.tree.leaves(moved)) < 0.02 * LR, shape


def test_draws_are_the_same_on_every_mesh():
    from gen import rng

    draw = lambda row_B: rng.normal(rng.per_example(jax.random.key(3), row_B), (4, 5))
    want = jax.jit(draw)(jnp.arange(16))
    for shape in MESHES:
        mesh = mesh_of(shape)
        rows = jax.device_put(jnp.arange(16), meshes.batch_sharding(mesh))
        np.testing.assert_array_equal(jax.jit(draw, out_shardings=meshes.batch_sharding(mesh))(rows), want)
