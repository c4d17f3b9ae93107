"""A task of your own, trained from Python without a family of its own.

name = register(MyTask(), data="mine")     # the config's task.name; the data is python:mine
"""

import dataclasses
from typing import Any

from gen.bounds import Bounded, Natural
from gen.data.python_data import PythonExamples, find
from gen.data.rowset import DatasetEvalLoader, DatasetLoader
from gen.data.source import digest
from gen.runs import family
from gen.runs.family import Family, Inputs
from gen.tasks.base import Task
from gen.tokenizers import Tokenizer
from gen.training.config import RunConfig


@dataclasses.dataclass(frozen=True)
class OwnTaskConfig(Bounded):
    """A task that Python gives has no keys but its name."""

    name: str


@dataclasses.dataclass(frozen=True)
class OwnModelConfig(Bounded):
    """Nor has its model."""


@dataclasses.dataclass(frozen=True)
class ExamplesConfig(Bounded):
    """`source` is "python:NAME"; `seed` shuffles, and the run's seed does not."""

    source: str
    seed: Natural = 0


class ExamplesFeed:
    """Examples as the data of a run."""

    labels = ()
    notes = ()

    def __init__(self, cfg: ExamplesConfig):
        self.cfg = cfg
        name = cfg.source.removeprefix("python:")
        self._train = PythonExamples(cfg.source, find(name, "train"))
        self._held_out = PythonExamples(cfg.source, find(name, "test"))
        self.fingerprint = digest("examples", self._train.fingerprint, cfg.seed)
        self.fingerprints = {"held-out data": self._held_out.fingerprint}

    def train(self, batch_size: int) -> DatasetLoader:
        return DatasetLoader(self._train, batch_size, self.cfg.seed)

    def evaluate(self, batch_size: int) -> DatasetEvalLoader:
        return DatasetEvalLoader(self._held_out, batch_size)


def open_examples(cfg: RunConfig, task: Task, tokenizer: Tokenizer | None) -> ExamplesFeed:
    """Raises ValueError where the examples are not what the task's batch is made of."""
    feed = ExamplesFeed(cfg.data)
    expected = {name: (x.shape[1:], x.dtype) for name, x in task.batch(1).items()}
    given = {name: (x.shape, x.dtype) for name, x in feed._train.row(0).items()}
    if given != expected:
        raise ValueError(f"the task reads examples of {_shown(expected)}, and {cfg.data.source} has {_shown(given)}")
    return feed


def _shown(arrays: dict[str, Any]) -> str:
    return ", ".join(f"{name} {dtype}{list(shape)}" for name, (shape, dtype) in arrays.items())


EXAMPLES = Inputs(ExamplesConfig, open_examples, lambda cfg: None, lambda cfg, feed, tokenizer: [])


def register(task: Task) -> str:
    """Makes a family of the task; returns its name. A task of the same class takes the place of the one before."""
    name = type(task).__name__
    family.register(Family(name, OwnTaskConfig, OwnModelConfig, EXAMPLES, lambda cfg, models, ids: task), replace=True)
    return name
