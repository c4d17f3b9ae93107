"""The device mesh, and the one table that maps logical axes to it.

    mesh = make(MeshConfig(data=-1, fsdp=4), jax.devices())
    with jax.set_mesh(mesh):
        params = jax.jit(init, out_shardings=shardings(specs, mesh))(key)

Parameters are placed by the logical axes on their Specs, activations by `shard(x, "batch", "sequence", None)`, which
is the only annotation in the models and does nothing outside a mesh. Mesh axes are of AxisType.Auto: the compiler
propagates shardings between annotations.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import mesh_utils, multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

from gen import tree
from gen.bounds import Bound, Bounded
from gen.spec import Spec, Specs

# logical axis -> mesh axes. Weights are cut along `fsdp` on one side and along `tensor` on the other.
RULES: dict[str, tuple[str, ...]] = {
    # activations
    "batch": ("data", "fsdp", "expert"),
    "group": ("data", "fsdp"),  # a batch whose tokens are at their experts
    "sequence": ("context",),
    "channels": ("tensor",),
    # weights (heads, mlp and vocab name activations as well)
    "embed": ("fsdp",),
    "heads": ("tensor",),
    "mlp": ("tensor",),
    "vocab": ("tensor",),
    "expert": ("expert",),
    "conv_in": ("fsdp",),
    "conv_out": ("tensor",),
    "layers": (),
}


Devices = Annotated[int, Bound(lambda n: n >= 1 or n == -1, "at least 1, or -1 for what is left")]


@dataclasses.dataclass(frozen=True)
class MeshConfig(Bounded):
    """How many devices each mesh axis has; one axis may be -1 and takes what is left.

    A batch is spread over `data`, `fsdp` and `expert`; the others cut rows, weights and experts.
    """

    data: Devices = -1
    fsdp: Devices = 1
    context: Devices = 1
    tensor: Devices = 1
    expert: Devices = 1


def sizes(cfg: MeshConfig, devices: int) -> dict[str, int]:
    """The mesh's shape with -1 filled in. Raises ValueError when it does not use exactly `devices` devices."""
    shape = dataclasses.asdict(cfg)
    free = [name for name, n in shape.items() if n == -1]
    if len(free) > 1:
        raise ValueError(f"mesh: at most one axis may be -1 (what is left); got {shape}")
    fixed = math.prod(n for n in shape.values() if n != -1)
    if devices % fixed or (not free and fixed != devices):
        raise ValueError(f"mesh: {shape} does not divide the {devices} devices; its axes multiply to {fixed}")
    return {name: devices // fixed if n == -1 else n for name, n in shape.items()}


def make(cfg: MeshConfig, devices: Sequence[jax.Device]) -> Mesh:
    """A mesh of `devices` in the shape that `cfg` asks for, each axis along whole sides of a torus where it can be."""
    shape = sizes(cfg, len(devices))
    types = (AxisType.Auto,) * len(shape)
    try:
        return jax.make_mesh(tuple(shape.values()), tuple(shape), devices=devices, axis_types=types)
    except NotImplementedError:  # 64 of 4 x 4 x 8, say: a side is cut
        cut = mesh_utils.create_device_mesh(tuple(shape.values()), devices, allow_split_physical_axes=True)
        return Mesh(cut, tuple(shape), axis_types=types)


def taken(mesh: Mesh | None) -> Mesh:
    """A mesh that somebody gives, with gen's axes: those that it lacks are added with one device; None means all
    devices, along `data`. Raises ValueError for an axis that gen does not have."""
    if mesh is None:
        return make(MeshConfig(), jax.devices())
    known = {field.name: 1 for field in dataclasses.fields(MeshConfig)}
    if strange := [name for name in mesh.axis_names if name not in known]:
        raise ValueError(f"the mesh has an axis {strange[0]!r}; gen's axes are {', '.join(known)}")
    shape = {**known, **dict(mesh.shape)}
    order = [name for name in known if name in mesh.axis_names]
    devices = mesh.devices.transpose([mesh.axis_names.index(name) for name in order]).reshape(tuple(shape.values()))
    return Mesh(devices, tuple(shape), axis_types=(AxisType.Auto,) * len(shape))


def partition(axes: Sequence[str | None], shape: Sequence[int], mesh_shape: dict[str, int], name: str) -> P:
    """The PartitionSpec of one array.

    Raises ValueError, naming the array, when an axis is unknown, when two of its axes ask for the same mesh axis, or
    when a dimension is not divisible by the devices that it is cut over.
    """
    parts: list[tuple[str, ...] | None] = []
    used: dict[str, str] = {}
    for axis, size in zip(axes, shape, strict=True):
        if axis is not None and axis not in RULES:
            raise ValueError(f"{name}: there is no logical axis {axis!r}; known axes are {', '.join(RULES)}")
        over = tuple(m for m in RULES[axis] if mesh_shape.get(m, 1) > 1) if axis else ()
        for m in over:
            if m in used:
                raise ValueError(f"{name}: axes {used[m]!r} and {axis!r} both ask for mesh axis {m!r}")
            used[m] = str(axis)
        ways = math.prod(mesh_shape[m] for m in over)
        if size % ways:
            cut = " x ".join(f"{m}={mesh_shape[m]}" for m in over)
            raise ValueError(f"{name}: dimension {axis!r} of size {size} is not divisible by {cut}; change the mesh")
        parts.append(over or None)
    while parts and parts[-1] is None:
        parts.pop()
    return P(*parts)


def shardings(specs: Specs, mesh: Mesh):
    """A NamedSharding for every parameter of a Spec tree."""
    shape = dict(mesh.shape)
    return tree.map_with_path(
        lambda path, s: NamedSharding(mesh, partition(s.axes, s.shape, shape, path)),
        specs,
        is_leaf=lambda x: isinstance(x, Spec),
    )


def shard(x: Array, *axes: str | None) -> Array:
    """Lays an activation out along logical axes on the mesh in force (`jax.set_mesh`); the identity without one.

    A dimension of one is left whole, as a row of one token that a model writes.
    """
    mesh = jax.sharding.get_abstract_mesh()
    axes = tuple(None if n == 1 else axis for axis, n in zip(axes, x.shape, strict=True))
    if mesh.empty or all(n == 1 for n in mesh.shape.values()):
        return x
    return jax.lax.with_sharding_constraint(x, partition(axes, x.shape, dict(mesh.shape), "an activation"))


def rows_here(rows: int) -> int:
    """How many rows of a batch one device has, on the mesh in force."""
    shape = jax.sharding.get_abstract_mesh().shape
    return -(-rows // math.prod(shape.get(axis, 1) for axis in RULES["batch"]))


def cut_rows(x: Array, count: int) -> Array:
    """(B, T, ...) as (count, B, T / count, ...), to be walked part by part; each takes every count-th token, so that it
    lies where the rows do when a mesh cuts them."""
    return jnp.moveaxis(x.reshape(x.shape[0], -1, count, *x.shape[2:]), 2, 0)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The first dimension over all data-parallel devices, the rest whole."""
    return NamedSharding(mesh, P(tuple(m for m in RULES["batch"])))


def batch_ways(mesh: Mesh) -> int:
    """Over how many devices a batch is spread."""
    return math.prod(mesh.shape[m] for m in RULES["batch"])


def check_batch(batch_size: int, accumulate: int, mesh: Mesh, rows: int | None = None) -> None:
    """Raises ValueError unless every device gets an equal share of a batch and of every micro-batch of the `rows` of an
    update, by default all."""
    ways, rows = batch_ways(mesh), batch_size if rows is None else rows
    part = "" if rows == batch_size else f", of which an update takes {rows} rows,"
    if batch_size % ways or rows % (ways * accumulate):
        raise ValueError(
            f"train.batch_size={batch_size}{part} is not divisible by data x fsdp x expert = {ways} devices"
            f" times train.accumulate={accumulate}"
        )


def put(x: np.ndarray, sharding: NamedSharding) -> jax.Array:
    """A global array from this process's NumPy copy of it."""
    return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])


def fetch(x: jax.Array) -> np.ndarray:
    """All of an array, also where parts of it lie with other processes, which then must ask for it as well."""
    if x.is_fully_addressable or x.is_fully_replicated:
        return np.asarray(x)
    return multihost_utils.process_allgather(x, tiled=True)
