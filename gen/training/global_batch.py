"""Batches on the devices: each process reads the rows that its own devices hold.

batch = place(loader.batch, position=1000, size=256, mesh=mesh)
"""

from collections.abc import Callable, Mapping

import jax
import numpy as np
from jax.sharding import Mesh

from gen.mesh import batch_sharding

# read(position, rows) -> {name: array (len(rows), ...)} of the global batch at a position
type Read = Callable[[int, np.ndarray], Mapping[str, np.ndarray]]


def make_global_batch(read: Read, position: int, size: int, mesh: Mesh) -> dict[str, jax.Array]:
    """The global batch of `size` rows at `position`, spread over the mesh; only rows that are needed here are read."""
    sharding = batch_sharding(mesh)
    places = sharding.addressable_devices_indices_map((size,)).values()
    held = {index[0].indices(size)[:2] for index in places if index is not None}
    mine = np.unique(np.concatenate([np.arange(*span) for span in held]))
    where = {int(row): i for i, row in enumerate(mine)}
    rows = read(position, mine)

    def spread(local: np.ndarray) -> jax.Array:
        def piece(index: tuple[slice, ...] | None) -> np.ndarray:
            assert index is not None, "addressable devices have an index"
            start, stop, _ = index[0].indices(size)
            return local[where[start] : where[stop - 1] + 1]

        return jax.make_array_from_callback((size, *local.shape[1:]), sharding, piece)

    return {name: spread(local) for name, local in rows.items()}
