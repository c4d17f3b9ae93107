"""Draws depend on (seed, purpose, step, example) and on nothing else: not on the batch, its cutting or the mesh."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from gen import mesh as meshes
from gen import rng
from gen.mesh import MeshConfig

ROWS = jnp.arange(16)


@jax.jit
def draw(row_B):
    key_B = rng.per_example(rng.fold(jax.random.key(7), "noise", 3), row_B)
    return {
        "normal": rng.normal(key_B, (2, 3)),
        "uniform": rng.uniform(key_B),
        "integers": rng.integers(key_B, 5, 1000),
        "bernoulli": rng.bernoulli(key_B, 0.5),
    }


def assert_equal(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


def test_a_row_is_drawn_alike_in_every_batch():
    whole = draw(ROWS)
    assert_equal(jax.tree.map(lambda x: x[3::4], whole), draw(ROWS[3::4]))
    assert_equal(jax.tree.map(lambda x: x[::-1], whole), draw(ROWS[::-1]))


@pytest.mark.parametrize("shape", [{"data": 8}, {"data": 2, "fsdp": 2, "tensor": 2}])
def test_draws_are_the_same_on_every_mesh(shape):
    mesh = meshes.make(MeshConfig(**{"data": 1} | shape), jax.devices())
    spread = jax.device_put(ROWS, meshes.batch_sharding(mesh))
    drawn = jax.jit(draw, out_shardings=jax.sharding.NamedSharding(mesh, P(("data", "fsdp"))))(spread)
    assert_equal(draw(ROWS), drawn)


def test_purpose_step_and_row_each_change_the_key():
    key = jax.random.key(7)
    keys = [
        rng.fold(key, "noise", 3),
        rng.fold(key, "noise", 4),
        rng.fold(key, "time", 3),
        rng.fold(key, 3, "noise"),
        *rng.per_example(rng.fold(key, "noise", 3), jnp.arange(2)),
    ]
    assert len({tuple(jax.random.key_data(k).tolist()) for k in keys}) == len(keys)


def test_names_have_stable_numbers():
    assert rng.number("123456789") == 0xCBF43926  # the check value of CRC-32; saved runs draw from these numbers


def test_a_flat_draw_has_the_bits_of_a_shaped_one():
    key_B = rng.per_example(jax.random.key(0), jnp.arange(4))
    shaped = jax.vmap(lambda key: jax.random.normal(key, (2, 3, 5)))(key_B)
    np.testing.assert_array_equal(rng.normal(key_B, (2, 3, 5)), shaped)


def test_distributions():
    n = 10_000
    key_B = rng.per_example(jax.random.key(1), jnp.arange(n))
    normal = np.asarray(rng.normal(key_B, ()))
    assert abs(normal.mean()) < 4 / n**0.5 and abs(normal.std() - 1) < 4 / (2 * n) ** 0.5
    uniform = np.asarray(rng.uniform(key_B))
    assert uniform.min() >= 0 and uniform.max() < 1 and abs(uniform.mean() - 0.5) < 4 / (12 * n) ** 0.5
    assert set(np.unique(rng.integers(key_B, 3, 6))) == {3, 4, 5}
    assert abs(rng.bernoulli(key_B, 0.1).mean() - 0.1) < 4 * (0.09 / n) ** 0.5
    assert not rng.bernoulli(key_B, 0.0).any() and rng.bernoulli(key_B, 1.0).all()


def test_host_draws_depend_on_seed_purpose_and_numbers():
    first = rng.host(0, "crop", 1, 2).integers(2**62)
    assert first == rng.host(0, "crop", 1, 2).integers(2**62)
    others = [rng.host(1, "crop", 1, 2), rng.host(0, "flip", 1, 2), rng.host(0, "crop", 2, 1), rng.host(0, "crop", 1)]
    assert first not in [other.integers(2**62) for other in others]
