"""The device mesh: -1 fills, logical axes land where the table says, and what does not divide or collides is named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from gen import mesh, spec
from gen.mesh import MeshConfig
from gen.spec import Spec

EIGHT = {"data": 2, "fsdp": 2, "context": 1, "tensor": 2, "expert": 1}


def make(**axes):
    return mesh.make(MeshConfig(**axes), jax.devices())


def test_minus_one_takes_what_is_left():
    assert mesh.sizes(MeshConfig(fsdp=2), 8) == {"data": 4, "fsdp": 2, "context": 1, "tensor": 1, "expert": 1}
    assert mesh.sizes(MeshConfig(data=2, tensor=-1), 8) == {
        "data": 2,
        "fsdp": 1,
        "context": 1,
        "tensor": 4,
        "expert": 1,
    }
    assert mesh.sizes(MeshConfig(data=8), 8) == {"data": 8, "fsdp": 1, "context": 1, "tensor": 1, "expert": 1}


@pytest.mark.parametrize("cfg", [MeshConfig(fsdp=3), MeshConfig(data=4), MeshConfig(data=16)])
def test_a_mesh_that_does_not_divide_the_devices(cfg):
    with pytest.raises(ValueError, match=r"^mesh: .* does not divide the 8 devices; its axes multiply to \d+$"):
        mesh.sizes(cfg, 8)


def test_axes_are_positive_and_one_may_be_minus_one():
    for size in (0, -2):
        with pytest.raises(ValueError, match=f"fsdp={size} must be at least 1, or -1 for what is left"):
            MeshConfig(fsdp=size)
    with pytest.raises(ValueError, match="mesh: at most one axis may be -1"):
        mesh.sizes(MeshConfig(data=-1, tensor=-1), 8)


def test_make_orders_the_axes_and_uses_every_device():
    made = make(data=2, fsdp=2, tensor=-1)
    assert dict(made.shape) == EIGHT and set(made.devices.flat) == set(jax.devices())
    assert set(made.axis_types) == {jax.sharding.AxisType.Auto}


def test_logical_axes_become_mesh_axes():
    of = lambda *axes: mesh.partition(axes, (8,) * len(axes), EIGHT, "w")
    assert of("embed", "mlp") == P(("fsdp",), ("tensor",))
    assert of("batch", "sequence", None) == P(("data", "fsdp"))
    assert of("layers", "heads") == P(None, ("tensor",))
    assert of(None, "vocab", None) == P(None, ("tensor",))
    assert mesh.partition(("embed",), (3,), {"data": 8, "fsdp": 1}, "w") == P()  # mesh axes of one cut nothing


def test_an_unknown_axis_is_named():
    with pytest.raises(ValueError, match=r"^dense/kernel: there is no logical axis 'embde'; known axes are batch, "):
        mesh.partition(("embde",), (8,), EIGHT, "dense/kernel")


def test_colliding_axes_are_named():
    with pytest.raises(ValueError, match="^w: axes 'heads' and 'mlp' both ask for mesh axis 'tensor'$"):
        mesh.partition(("heads", "mlp"), (8, 8), EIGHT, "w")


def test_an_indivisible_dimension_is_named():
    with pytest.raises(ValueError, match="^w: dimension 'batch' of size 6 is not divisible by data=2 x fsdp=2"):
        mesh.partition(("batch",), (6,), EIGHT, "w")


def test_parameters_are_placed_by_their_specs():
    specs = {"block": {"kernel": Spec((4, 6), ("embed", "mlp"), spec.zeros)}}
    placed = mesh.shardings(specs, make(data=2, fsdp=2, tensor=2))["block"]["kernel"]
    assert placed.shard_shape((4, 6)) == (2, 3)
    with pytest.raises(ValueError, match="^block/kernel: dimension 'mlp' of size 6 is not divisible by tensor=4"):
        mesh.shardings(specs, make(data=2, tensor=4))


def test_activations_are_laid_out_on_the_mesh_in_force():
    lay_out = lambda x_BTD: mesh.shard(x_BTD, "batch", None, "channels")
    x_BTD = jnp.arange(8 * 3 * 4.0).reshape(8, 3, 4)
    assert lay_out(x_BTD) is x_BTD
    with jax.set_mesh(make(data=2, fsdp=2, tensor=2)):
        laid_out = jax.jit(lay_out)(x_BTD)
        assert laid_out.sharding.shard_shape(x_BTD.shape) == (2, 3, 2)
        np.testing.assert_array_equal(laid_out, x_BTD)
        with pytest.raises(ValueError, match="^an activation: dimension 'batch' of size 6"):
            jax.jit(lay_out)(x_BTD[:6])


def test_devices_share_every_micro_batch_equally():
    mesh.check_batch(16, 2, make(data=4, tensor=2))
    mesh.check_batch(16, 1, make(data=4, tensor=2), rows=8)
    for rows, accumulate in ((8, 4), (2, 1)):
        with pytest.raises(ValueError, match=f"batch_size=16, of which an update takes {rows} rows, is not divisible"):
            mesh.check_batch(16, accumulate, make(data=4, tensor=2), rows=rows)
    with pytest.raises(ValueError, match=r"batch_size=12 is not .* data x fsdp x expert = 4 .* train\.accumulate=2"):
        mesh.check_batch(12, 2, make(data=2, fsdp=2, tensor=2))


def test_put_spreads_a_numpy_array():
    made = make(data=8)
    x_B = np.arange(16)
    placed = mesh.put(x_B, mesh.batch_sharding(made))
    assert placed.sharding.shard_shape((16,)) == (2,)
    np.testing.assert_array_equal(placed, x_B)
