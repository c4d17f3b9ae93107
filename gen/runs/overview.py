"""The tables that a run prints as it starts: its parameters, and where the mesh puts them."""

import itertools
import math
from collections.abc import Mapping

from jax.sharding import Mesh
from rich.table import Table
from rich.text import Text

from gen import mesh as meshes
from gen import spec
from gen.messages import bare, harmless
from gen.spec import Specs


def parameters(name: str, specs: Specs, mesh: Mesh) -> Table:
    """One row for each part of a model: how many parameters, how many bytes on each device, and what cuts them."""
    shape = dict(mesh.shape)
    used = " x ".join(f"{axis} {size}" for axis, size in shape.items() if size > 1) or "one device"
    table = Table("part", "parameters", "bytes a device", "cut over", title=Text(harmless(f"{name} on {used}")))
    for column in table.columns[1:3]:
        column.justify = "right"
    leaves = spec.flatten(specs)
    for part, paths in itertools.groupby(sorted(leaves), key=lambda path: path.split("/")[0]):
        rows = [leaves[path] for path in paths]
        table.add_row(
            Text(bare(part)),
            f"{sum(map(_size, rows)):,}",
            f"{sum(_held(s, shape) for s in rows):,}",
            _axes(rows, shape),
        )
    every = list(leaves.values())
    table.add_section()
    table.add_row("all", f"{spec.count(specs):,}", f"{sum(_held(s, shape) for s in every):,}", _axes(every, shape))
    return table


def sharding(specs: Specs, mesh: Mesh) -> dict[str, dict[str, list]]:
    """Every parameter by its path, for programs: its shape, and the mesh axes that cut each dimension."""

    def of(path: str, leaf: spec.Spec) -> dict[str, list]:
        parts = meshes.partition(leaf.axes, leaf.shape, dict(mesh.shape), path)
        return {"shape": list(leaf.shape), "cut": [*parts, *[None] * (len(leaf.shape) - len(parts))]}

    return {path: of(path, leaf) for path, leaf in spec.flatten(specs).items()}


def _size(leaf: spec.Spec) -> int:
    return spec.count({"leaf": leaf})


def _over(leaf: spec.Spec, shape: Mapping[str, int]) -> list[str]:
    """The mesh axes that a parameter is cut over."""
    parts = meshes.partition(leaf.axes, leaf.shape, dict(shape), "a parameter")
    return [axis for part in parts if part for axis in ([part] if isinstance(part, str) else part)]


def _held(leaf: spec.Spec, shape: Mapping[str, int]) -> int:
    """Bytes of a parameter on one device."""
    ways = math.prod(shape[axis] for axis in _over(leaf, shape))
    return _size(leaf) * spec.abstract({"leaf": leaf})["leaf"].dtype.itemsize // ways


def _axes(leaves: list[spec.Spec], shape: Mapping[str, int]) -> str:
    return ", ".join(sorted({axis for leaf in leaves for axis in _over(leaf, shape)})) or "nothing"
