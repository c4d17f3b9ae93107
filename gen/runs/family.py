"""A family: everything that belongs to one kind of run, found by the name of its task.

    family = find("lm")
    task = family.make(cfg, models={}, ids=NO_TEXT)

`gen.register` adds a family of your own, as does a module that a program is given with --plugin:

    make = lambda cfg, models, ids: MyTask(cfg.task, cfg.model)
    gen.register(Family("mine", MyTaskConfig, MyModelConfig, IMAGES, make))
"""

import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from gen import config
from gen.config import ConfigError
from gen.tasks.base import Task
from gen.tokenizers import Tokenizer
from gen.training.config import RunConfig

# task.name -> the module with its FAMILY, imported when it is asked for
MODULES = {
    name: f"gen.runs.families.{name}"
    for name in (
        "clip",
        "prior",
        "decoder",
        "upsampler",
        "lm",
        "chat",
        "classify",
        "reward",
        "ppo",
        "grpo",
        "dpo",
    )
}


class Ids(NamedTuple):
    """The facts of a tokenizer that a task which writes texts knows: the id that ends one, and how many ids there are;
    None where the model has no more."""

    end: int = 0
    vocab: int | None = None


NO_TEXT = Ids()


class Feed(Protocol):
    """The data of a run. `labels` are the names of classes, by number; `notes` are for a person, a sentence each."""

    labels: Sequence[str]
    notes: Sequence[str]

    @property
    def fingerprint(self) -> str: ...

    @property
    def fingerprints(self) -> Mapping[str, str]: ...

    def train(self, batch_size: int) -> Any:
        """Batches of training: `.batch(position)`."""

    def evaluate(self, batch_size: int) -> Any:
        """Batches of all that is held out: `len()` of them, `.batch(position, rows)`."""


class Inputs(NamedTuple):
    """A kind of data: its config class, and how it is opened and shown.

    open(cfg, task, tokenizer): the Feed. Raises ValueError for data that is not there or does not fit the task.
    new_tokenizer(cfg): as the config says, trained if need be; None where it names none.
    notes(cfg, feed, tokenizer): what a person should know before training, a sentence each.
    rows(feed, batch, marks): the rows of a batch as text, `marks` around what counts; None for pictures.
    """

    config: type
    open: Callable[[RunConfig, Task, Tokenizer | None], Any]
    new_tokenizer: Callable[[RunConfig], Tokenizer | None]
    notes: Callable[[RunConfig, Any, Tokenizer | None], list[str]]
    rows: Callable[[Any, Mapping[str, np.ndarray], tuple[str, str]], Iterator[str]] | None = None


class Family(NamedTuple):
    """A kind of run: the config classes of `task` and `model`, its data, and how its task is made.

    make(cfg, models, ids): the task, given the model configs of the runs that it reads, and ids of the tokenizer.
    pipeline: "module:name" of what opens a trained run as an object, called with (place, mesh).
    upstream: runs whose weights it reads; `optional` ones need not be there. `tunes` is the one whose language model
    is trained further. `generates`: the run's model is a language model, which writes texts. `unused(cfg)`: settings
    that act on nothing, with the reason.
    """

    name: str
    task: type
    model: type
    inputs: Inputs
    make: Callable[[RunConfig, Mapping[str, Any], Ids], Task]
    pipeline: str = "gen.pipelines.trained:TrainedRun"
    upstream: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    tunes: str | None = None
    generates: bool = False
    unused: Callable[[RunConfig], Mapping[str, str]] = lambda cfg: {}

    @property
    def converses(self) -> bool:
        """Whether the data has a template of conversations."""
        return any(field.name == "template" for field in dataclasses.fields(self.inputs.config))


_registered: dict[str, Family] = {}


def register(family: Family, *, replace: bool = False) -> None:
    """Adds a family. Raises ValueError when its name is taken by another, unless that is to be replaced."""
    if family.name in MODULES or (not replace and _registered.get(family.name, family) != family):
        raise ValueError(f"there is a family named {family.name!r} already; choose another name")
    _registered[family.name] = family


def names() -> list[str]:
    """The names of all families."""
    return [*MODULES, *_registered]


def find(name: Any) -> Family:
    """The family with this task.name. Raises ConfigError naming the nearest when there is none."""
    if name in _registered:
        return _registered[name]
    if name not in MODULES:
        raise ConfigError(f"task.name={name!r} is not a task; {config.nearest(str(name), names())}")
    return importlib.import_module(MODULES[name]).FAMILY
