"""The keys that the configs of all runs share. `task`, `model` and `lora` belong to gen/tasks, `data` to gen/data."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from gen.mesh import MeshConfig
from gen.train.optim import OptimConfig
from gen.train.spikes import SpikeConfig

SAVE_TIMEOUT = 1200.0  # seconds


def at_least_1(section: str, cfg: Any, *keys: str) -> None:
    """Raises ValueError for a number of steps or rows that is not positive; None means that there is none."""
    for key in keys:
        value = getattr(cfg, key)
        if value is not None and value < 1:
            raise ValueError(f"{section}.{key}={value} must be at least 1")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """`steps` global batches of `batch_size` rows, each taken in `accumulate` micro-batches.

    A run ends as diverged after `nonfinite_limit` steps in a row with a non-finite loss or gradient, or one that
    `spikes` skips. `trace` names the first and last step of an xprof trace.
    """

    steps: int
    batch_size: int
    accumulate: int = 1
    nonfinite_limit: int = 10
    spikes: SpikeConfig = SpikeConfig()
    trace: tuple[int, int] | None = None

    def __post_init__(self):
        at_least_1("train", self, "steps", "batch_size", "accumulate", "nonfinite_limit")


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
    """Saves at multiples of `every` and at the end; the newest `keep` stay, and multiples of `keep_every` for good.

    A save that is not on disk after `timeout` seconds has failed: where one of several processes fails, the others
    wait for so long.
    """

    every: int = 1000
    keep: int = 3
    keep_every: int | None = None
    timeout: float = SAVE_TIMEOUT

    def __post_init__(self):
        at_least_1("checkpoint", self, "every", "keep", "keep_every", "timeout")


@dataclasses.dataclass(frozen=True)
class LogConfig:
    """Metrics are written at multiples of `every` steps, and for the last."""

    every: int = 10

    def __post_init__(self):
        at_least_1("log", self, "every")


@dataclasses.dataclass(frozen=True)
class EvalConfig:
    """At multiples of `every` steps and at the end: metrics over at most `batches` held-out batches, and a show of
    `samples` samples."""

    every: int = 1000
    batches: int = 10
    samples: int = 16

    def __post_init__(self):
        at_least_1("evals", self, "every")


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """Everything that defines a run; what DIR/config.json holds. `upstream` names run directories whose weights it
    reads; with `lora` thin factors are trained beside them (gen/tasks/lora.py)."""

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
    lora: Any = None
    seed: int = 0


# What a run may be taken up with anew without becoming another run.
MAY_CHANGE = (
    "train.steps",
    "train.trace",
    "train.nonfinite_limit",
    "optim.steps",
    "checkpoint",
    "log",
    "evals",
    "mesh",
    "upstream",
)


def covered(key: str, sections: Sequence[str]) -> bool:
    """Whether a dotted key is one of `sections`, or lies in one."""
    return any(key == section or key.startswith(section + ".") for section in sections)
