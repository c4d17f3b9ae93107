"""A trained run of any kind as an object.

run = TrainedRun.open("runs/mine", mesh)
run.apply(run.params, batch)["loss"]
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from gen.runs import reader, registry
from gen.runs.reader import Run
from gen.spec import Params
from gen.tasks.base import LossContext, Task
from gen.training.config import RunConfig


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedRun:
    """`params` are the weights by player, averaged where the run keeps an average; `weights` says which they are."""

    path: Path
    cfg: RunConfig
    task: Task
    params: Mapping[str, Params]
    frozen: Mapping[str, Params]
    extra: Params
    weights: Mapping[str, Any]
    mesh: Mesh

    @classmethod
    def open(cls, place: str | Path, mesh: Mesh) -> "TrainedRun":
        """Reads the newest intact step. Raises ValueError when the directory holds no run or no checkpoint."""
        run = Run.open(place)
        task = registry.plain(run.cfg, run.models, run.ids)
        params = {name: run.load(player.specs, mesh, name) for name, player in task.players.items()}
        weights = {"step": run.step, "digest": run.digest, "config_sha256": run.config_sha256}
        frozen = reader.load_to_read(task.frozen, run, mesh)
        extra = run.extra(mesh) if task.extra else {}
        return cls(run.path, run.cfg, task, params, frozen, extra, weights, mesh)

    def apply(self, params: Mapping[str, Params], batch: Mapping[str, Any], seed: int = 0) -> dict[str, float]:
        """The metrics of a batch, as at an evaluation of the run; `batch` has the arrays of `task.batch(size)`."""
        with jax.set_mesh(self.mesh):
            arrays = jax.tree.map(jnp.asarray, dict(batch))
            size = len(jax.tree.leaves(arrays)[0])
            rows = {"row": jnp.arange(size, dtype=jnp.int32)}
            key = jax.random.key(seed)
            context = LossContext({}, self.frozen, self.extra, key, jnp.int32(self.weights["step"]), training=None)
            found = self.task.evaluate(dict(params), arrays | rows, context)
        return {name: float(mean.value()) for name, mean in found.items() if not name.startswith("_")}
