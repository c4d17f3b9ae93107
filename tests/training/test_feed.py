"""Batches on the devices: the whole batch on every mesh, and no process reads a row that its devices do not hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import mesh as meshes
from gen.mesh import MeshConfig
from gen.training import global_batch


def read(position, rows):
    return {"row": rows + 100 * position, "x": np.stack([np.full((2, 3), row) for row in rows])}


@pytest.mark.parametrize("shape", [{"data": 8}, {"data": 2, "fsdp": 4}, {"fsdp": 4, "tensor": 2}, {"tensor": 8}])
def test_the_global_batch_is_whole_on_every_mesh(shape):
    mesh = meshes.make(MeshConfig(**{"data": 1} | shape), jax.devices())
    placed = global_batch.make_global_batch(read, 7, 16, mesh)
    whole = read(7, np.arange(16))
    for name, array in placed.items():
        np.testing.assert_array_equal(array, whole[name])
        assert array.sharding == meshes.batch_sharding(mesh)


class OneProcess:
    """The batch's sharding as one of several processes sees it, which holds some of the devices."""

    def __init__(self, mesh, devices):
        self.whole, self.devices = meshes.batch_sharding(mesh), devices

    def addressable_devices_indices_map(self, shape):
        everywhere = self.whole.devices_indices_map(shape)
        return {device: index for device, index in everywhere.items() if device in self.devices}


def pieces(shape, sharding, piece):
    """Stands in for jax.make_array_from_callback, which needs the other processes: what each device gets, stacked."""
    return jnp.stack([piece(index) for index in sharding.addressable_devices_indices_map(shape).values()])


FIRST, SECOND = list(range(8)), list(range(8, 16))


@pytest.mark.parametrize(
    "shape, rows",
    [
        ({"data": 8}, (FIRST, SECOND)),
        ({"fsdp": 4, "tensor": 2}, (FIRST, SECOND)),
        ({"tensor": 8}, (FIRST + SECOND, FIRST + SECOND)),  # tensor spans both processes
    ],
)
def test_a_process_reads_the_rows_that_its_devices_hold(monkeypatch, shape, rows):
    mesh = meshes.make(MeshConfig(**{"data": 1} | shape), jax.devices())
    monkeypatch.setattr(jax, "make_array_from_callback", pieces)
    for devices, expected in zip((mesh.devices.flat[:4], mesh.devices.flat[4:]), rows, strict=True):
        monkeypatch.setattr(global_batch, "batch_sharding", lambda mesh, devices=devices: OneProcess(mesh, devices))
        asked = []
        placed = global_batch.make_global_batch(
            lambda position, rows, asked=asked: asked.append(rows) or {"row": rows}, 0, 16, mesh
        )
        assert [rows.tolist() for rows in asked] == [expected]
        assert sorted(set(np.ravel(placed["row"]).tolist())) == expected
