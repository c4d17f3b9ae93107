"""The keys that the configs of all runs share. `task` and `model` belong to the task, `data` to gen/data."""

import dataclasses
from typing import Any

from gen.mesh import MeshConfig
from gen.train.optim import OptimConfig


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """`steps` global batches of `batch_size` rows, each taken in `accumulate` micro-batches.

    A run ends as diverged after `nonfinite_limit` steps in a row with a non-finite loss or gradient. `trace` names
    the first and last step of an xprof trace.
    """

    steps: int
    batch_size: int
    accumulate: int = 1
    nonfinite_limit: int = 10
    trace: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
    """Saves at multiples of `every` and at the end; the newest `keep` stay, and multiples of `keep_every` for good."""

    every: int = 1000
    keep: int = 3
    keep_every: int | None = None


@dataclasses.dataclass(frozen=True)
class LogConfig:
    """Metrics are written at multiples of `every` steps, and for the last."""

    every: int = 10


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """At multiples of `every` steps and at the end: metrics over at most `batches` held-out batches, and a grid of
    `samples` pictures."""

    every: int = 1000
    batches: int = 10
    samples: int = 16


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that defines a run; what DIR/config.json holds. `upstream` names run directories of frozen weights."""

    task: Any
    model: Any
    data: Any
    train: TrainConfig
    optim: OptimConfig = OptimConfig()
    mesh: MeshConfig = MeshConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    log: LogConfig = LogConfig()
    evals: EvalConfig = EvalConfig()
    upstream: dict[str, str] = dataclasses.field(default_factory=dict)
    seed: int = 0


# What a run may be taken up with anew without becoming another run.
MAY_CHANGE = ("train.steps", "train.trace", "train.nonfinite_limit", "checkpoint", "log", "evals", "mesh", "upstream")
