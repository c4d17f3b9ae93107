"""The keys that the configs of all runs share. `task`, `model` and `lora` belong to gen/tasks, `data` to gen/data."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

from gen.bounds import Bounded, Count, Natural, at_least
from gen.checkpoint import SAVE_TIMEOUT
from gen.config import RESUMABLE, resumable
from gen.mesh import MeshConfig
from gen.training.optim import OptimConfig
from gen.training.spikes import SpikeConfig


@dataclasses.dataclass(frozen=True)
class TrainConfig(Bounded):
    """`steps` global batches of `batch_size` rows, each taken in `accumulate` micro-batches.

    A run ends as diverged after `nonfinite_limit` steps in a row, or all that it has, with a loss, gradient or weight
    that is not finite, or an outlier that `spikes` skips. `trace` names the first and last step of an xprof trace.
    """

    steps: Count = dataclasses.field(metadata=RESUMABLE)
    batch_size: Count
    accumulate: Count = 1
    nonfinite_limit: Count = resumable(10)
    spikes: SpikeConfig = SpikeConfig()
    trace: tuple[Natural, Natural] | None = resumable(None)

    def unused(self) -> dict[str, str]:
        late = self.trace is not None and self.trace[0] >= self.steps
        return {"trace": f"the run ends at step {self.steps}"} if late else {}

    @property
    def diverged_after(self) -> int:
        """How many steps in a row that change nothing end the run."""
        return min(self.nonfinite_limit, self.steps)


@dataclasses.dataclass(frozen=True)
class CheckpointConfig(Bounded):
    """Saves at multiples of `every` and at the end; the newest `keep` stay, and multiples of `keep_every` for good.

    A save that is not on disk after `timeout` seconds has failed: where one of several processes fails, the others
    wait for so long.
    """

    every: Count = 1000
    keep: Count = 3
    keep_every: Count | None = None
    timeout: Annotated[float, at_least(1)] = SAVE_TIMEOUT


@dataclasses.dataclass(frozen=True)
class LogConfig(Bounded):
    """Metrics are written at multiples of `every` steps, and for the last."""

    every: Count = 10


@dataclasses.dataclass(frozen=True)
class EvalConfig(Bounded):
    """At multiples of `every` steps and at the end: metrics over at most `batches` held-out batches, and a show of
    `samples` samples."""

    every: Count = 1000
    batches: Natural = 10
    samples: Natural = 16


@dataclasses.dataclass(frozen=True)
class RunConfig(Bounded):
    """Everything that defines a run; what DIR/config.json holds. `upstream` names run directories whose weights it
    reads; with `lora` thin factors are trained beside them (gen/tasks/lora.py)."""

    task: Any
    model: Any
    data: Any
    train: TrainConfig
    optim: OptimConfig = OptimConfig()
    mesh: MeshConfig = resumable(MeshConfig())
    checkpoint: CheckpointConfig = resumable(CheckpointConfig())
    log: LogConfig = resumable(LogConfig())
    evals: EvalConfig = resumable(EvalConfig())
    upstream: dict[str, str] = dataclasses.field(default_factory=dict, metadata=RESUMABLE)
    lora: Any = None
    seed: Natural = 0

    def unused(self) -> dict[str, str]:
        return {} if self.seed < 2**32 else {"seed": "jax takes the low 32 bits alone; choose one below 4294967296"}


# Keys that the digest of a run's config leaves out in the records of its samples, as in version 0.1.0.
UNDIGESTED = (
    *("train.steps", "train.trace", "train.nonfinite_limit", "optim.steps"),
    *("checkpoint", "log", "evals", "mesh", "upstream"),
)


def covered(key: str, sections: Sequence[str]) -> bool:
    """Whether a dotted key is one of `sections`, or lies in one."""
    return any(key == section or key.startswith(section + ".") for section in sections)
