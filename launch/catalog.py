"""Every task by name: from the `task` and `model` sections of a config to a Task.

cfg = resolve({"task": {"name": "clip"}, "model": {...}, "data": {...}, "train": {...}})
task = make(cfg, upstream={})
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gen import config
from gen.config import ConfigError
from gen.data.pipeline import DataConfig
from gen.data.text import TextConfig
from gen.models.clip import CLIPConfig
from gen.models.decoder import DecoderConfig
from gen.models.lm import LMConfig
from gen.models.prior import PriorConfig
from gen.models.unet import UNetConfig
from gen.tasks.base import Task
from gen.tasks.clip import CLIPTask, CLIPTaskConfig
from gen.tasks.decoder import DecoderTask, DecoderTaskConfig
from gen.tasks.lm import LMTask, LMTaskConfig
from gen.tasks.prior import PriorTask, PriorTaskConfig
from gen.tasks.upsampler import UpsamplerTask, UpsamplerTaskConfig
from gen.train.config import RunConfig


class Family(NamedTuple):
    """A task's config classes, the upstream runs that it reads, and how it is made."""

    task: type
    model: type
    data: type
    upstream: tuple[str, ...]
    make: Callable[..., Task]


FAMILIES = {
    "clip": Family(CLIPTaskConfig, CLIPConfig, DataConfig, (), CLIPTask),
    "prior": Family(PriorTaskConfig, PriorConfig, DataConfig, ("clip",), PriorTask),
    "decoder": Family(DecoderTaskConfig, DecoderConfig, DataConfig, ("clip",), DecoderTask),
    "upsampler": Family(UpsamplerTaskConfig, UNetConfig, DataConfig, (), UpsamplerTask),
    "lm": Family(LMTaskConfig, LMConfig, TextConfig, (), LMTask),
}


def resolve(data: Mapping[str, Any]) -> RunConfig:
    """A run's config with every key checked and every default filled in.

    Raises ConfigError naming the key.
    """
    task = data.get("task", {})
    name = task.get("name") if isinstance(task, Mapping) else None
    if name not in FAMILIES:
        raise ConfigError(f"task.name={name!r} is not a task; {config.nearest(str(name), FAMILIES)}")
    family = FAMILIES[name]
    typed = {
        "task": config.build(family.task, task, "task"),
        "model": config.convert(data.get("model", {}), family.model, "model"),
        "data": config.convert(data.get("data", {}), family.data, "data"),
    }
    return config.build(RunConfig, {**data, **typed}, "")


def make(cfg: RunConfig, upstream: Mapping[str, Any]) -> Task:
    """The task of a config; `upstream` has the model config of each upstream run."""
    family = FAMILIES[cfg.task.name]
    missing = [name for name in family.upstream if name not in upstream]
    if missing:
        raise ConfigError(f"task {cfg.task.name!r} reads the weights of another run: set upstream.{missing[0]}=DIR")
    models = {name: upstream[name] for name in family.upstream}
    of_pictures = {"resolution": cfg.data.resolution} if family.data is DataConfig else {}
    return family.make(cfg.task, cfg.model, **models, **of_pictures)
