"""Metrics and samples of a task on held-out data, as compiled programs over the global batch.

evaluation = Evaluation(task, cfg, frozen, held_out, mesh)
evaluation.metrics(weights, extra, step, batches=10)        # {"loss": 0.1, ...}
evaluation.samples(weights, extra, step, count=16)          # {"decoded": (16, Y, X, 3), "real": ...}
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from gen import mesh as meshes
from gen import rng
from gen.spec import Params
from gen.tasks.base import Batch, LossContext, Mean, Task
from gen.training.config import RunConfig
from gen.training.global_batch import make_global_batch


@runtime_checkable
class HeldOut(Protocol):
    """A split in order: `len()` batches, each with a `weight` per row, which is 0 for rows that only fill."""

    def __len__(self) -> int: ...

    def batch(self, position: int, rows: np.ndarray) -> Mapping[str, np.ndarray]: ...


def evaluating(task: Task) -> Callable:
    """(key, weights, frozen, extra, step, batch, position) -> the task's metrics of a batch, jitted."""
    return _program(task.evaluate, "evaluate")


def sampling(task: Task) -> Callable:
    """The same for its samples."""
    return _program(task.sample, "sample")


def _program(method: Callable, purpose: str) -> Callable:
    def program(key, weights, frozen, extra, step, batch: Batch, position):
        context = LossContext(weights, frozen, extra, rng.fold(key, purpose, position), step)
        rows = jnp.arange(len(jax.tree.leaves(batch)[0]), dtype=jnp.int32)
        return method(weights, {**batch, "row": rows}, context)

    return jax.jit(program)


class Evaluation:
    """What is measured depends on the run's seed, the step and the batch's position, on nothing else."""

    def __init__(self, task: Task, cfg: RunConfig, frozen: Mapping[str, Params], held_out: HeldOut, mesh: Mesh):
        self._size, self._frozen, self._held_out, self._mesh = cfg.train.batch_size, frozen, held_out, mesh
        self._key = jax.random.key(cfg.seed)  # an argument, so that the programs of all seeds are the same

        self._evaluate, self._sample = evaluating(task), sampling(task)
        self._derived = task.derived

    def of_seed(self, seed: int) -> "Evaluation":
        """The evaluation of a run that differs in its seed, by the same compiled programs."""
        other = copy.copy(self)
        other._key = jax.random.key(seed)
        return other

    def metrics(self, weights: Mapping[str, Params], extra: Params, step: Any, batches: int) -> dict[str, float]:
        """Means over at most `batches` batches, and what the task derives from them."""
        return self.means(self.totals(weights, extra, step, batches))

    def totals(self, weights: Mapping[str, Params], extra: Params, step: Any, batches: int) -> dict[str, Mean]:
        """The sums over at most `batches` batches, with those that `metrics` does not show: under names that begin
        with "_", where there may be arrays."""
        totals: dict[str, Mean] | None = None
        for position in range(min(batches, len(self._held_out))):
            batch = self._read(position, self._size)
            parts = self._evaluate(self._key, weights, self._frozen, extra, step, batch, np.int32(position))
            totals = parts if totals is None else jax.tree.map(lambda a, b: a + b, totals, parts)
        return totals or {}

    def means(self, totals: Mapping[str, Mean]) -> dict[str, float]:
        """What `metrics` makes of `totals`."""
        if not totals:
            return {}
        values = {name: meshes.fetch(m.value()) for name, m in totals.items()}
        shown = {name: float(x) for name, x in values.items() if not name.startswith("_")}
        return shown | self._derived(values | shown)

    def samples(self, weights: Mapping[str, Params], extra: Params, step: Any, count: int) -> dict[str, np.ndarray]:
        """What the task samples for the first `count` held-out examples, or as many as there are; empty for a task that
        samples nothing."""
        ways = meshes.batch_ways(self._mesh)
        rows = min(-(-count // ways) * ways, self._size)  # as many as the devices can make evenly
        parts: list[dict[str, np.ndarray]] = []
        for position in range(min(-(-count // rows), len(self._held_out)) if count else 0):
            batch = self._read(position, rows)
            drawn = self._sample(self._key, weights, self._frozen, extra, step, batch, np.int32(position))
            drawn, weight_B = jax.tree.map(meshes.fetch, (drawn, batch["weight"]))
            parts.append({name: x[weight_B > 0] for name, x in drawn.items()})
        return {name: np.concatenate([part[name] for part in parts])[:count] for name in (parts[0] if parts else ())}

    def _read(self, position: int, rows: int) -> Mapping[str, jax.Array]:
        return make_global_batch(self._held_out.batch, position, rows, self._mesh)
