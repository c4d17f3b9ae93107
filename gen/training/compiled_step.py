"""The training step as a program: what it takes, where each piece lies, and the function, before any of it is there.

    program = Program.of(task, cfg, mesh)
    state = program.begin(key, origin)                        # drawn where it will lie
    step_fn = program.step.lower(program.state, frozen, batch, key).compile()

The loop runs it and gen.plan compiles it for machines that nobody here has, so that what is planned is what will run.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from gen import mesh as meshes
from gen import spec
from gen.tasks.base import Task, WeightRef
from gen.training import state as states
from gen.training import step
from gen.training.config import RunConfig
from gen.training.state import State


@dataclasses.dataclass(frozen=True)
class Program:
    """`state` is abstract, with the sharding of every leaf; `begin(key, origin)` draws it; `step(state, frozen, batch,
    key)` gives the next state, in place of the old one, and metrics. Both are jitted."""

    state: State
    begin: Any
    step: Any

    @classmethod
    def of(cls, task: Task, cfg: RunConfig, mesh: Mesh) -> "Program":
        steps = cfg.train.steps
        init = lambda key, origin: states.init(task, cfg.optim, steps, key, origin)
        shapes = jax.eval_shape(init, abstract_key(mesh), {n: spec.abstract(r.specs) for n, r in task.origin.items()})
        placed = states.shardings(task, shapes, mesh)
        once = step.make(task, cfg.optim, steps, cfg.train.accumulate, cfg.train.spikes)
        return cls(
            state=jax.tree.map(abstract_on, shapes, placed),
            begin=jax.jit(init, out_shardings=placed),
            step=jax.jit(once, donate_argnums=0, out_shardings=(placed, None)),
        )


def abstract_frozen(reads: Mapping[str, WeightRef], mesh: Mesh) -> dict[str, Any]:
    """Weights of other runs as they lie on the mesh, in shapes alone."""
    whole = NamedSharding(mesh, P())

    def of(read: WeightRef) -> Any:
        shapes = spec.abstract(read.specs)
        placed = jax.tree.map(lambda _: whole, shapes) if read.part == "extra" else meshes.shardings(read.specs, mesh)
        return jax.tree.map(abstract_on, shapes, placed)

    return {name: of(read) for name, read in reads.items()}


def abstract_batch(task: Task, size: int, mesh: Mesh) -> dict[str, Any]:
    """A global batch as gen.training.global_batch places it, in shapes alone."""
    return {name: abstract_on(x, meshes.batch_sharding(mesh)) for name, x in task.batch(size).items()}


def abstract_key(mesh: Mesh) -> jax.ShapeDtypeStruct:
    """The run's key, which every device has; nothing is computed, as the mesh may be of devices that are not here."""
    return abstract_on(jax.eval_shape(lambda: jax.random.key(0)), NamedSharding(mesh, P()))


def abstract_on(x: Any, sharding: NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
