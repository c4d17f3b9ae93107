"""Configs of runs resolved, and tasks made of them, by the family that their `task.name` names.

cfg = resolve({"task": {"name": "clip"}, "model": {...}, "data": {...}, "train": {...}})
task = make(cfg, upstream={})
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

from gen import config, spec
from gen.config import ConfigError
from gen.messages import short
from gen.runs import family as families
from gen.runs.family import NO_TEXT, Ids
from gen.tasks.base import Task
from gen.tasks.lora import LoRAConfig, LoRATask
from gen.tasks.warm_start import START, WarmStart
from gen.training.config import RunConfig


def resolve(data: Mapping[str, Any]) -> RunConfig:
    """A run's config with every key checked and every default filled in.

    Raises ConfigError naming the key.
    """
    task = data.get("task", {})
    family = families.find(task.get("name") if isinstance(task, Mapping) else None)
    typed = {
        "task": config.build(family.task, task, "task"),
        "model": config.convert(data.get("model", {}), family.model, "model"),
        "data": config.convert(data.get("data", {}), family.inputs.config, "data"),
        "lora": config.convert(data.get("lora"), None | LoRAConfig, "lora"),
    }
    return config.build(RunConfig, {**data, **typed}, "")


def inherit(data: Mapping[str, Any], config_of: Callable[[str], Mapping[str, Any]]) -> Mapping[str, Any]:
    """The config of a task that trains another run further, with what it takes over from that run's config, given by
    `config_of` its place: the model, and the template of conversations, under what the config says itself. Other
    configs are as they were.

    Raises ConfigError when the config does not say which run.
    """
    name = config.flatten(data).get("task.name")
    family = families.find(name) if name in families.names() else None
    if family is None or family.tunes is None:
        return data
    upstream = data.get("upstream", {})
    if family.tunes not in upstream:
        raise ConfigError(f"task {data['task']['name']!r} begins from another run: set upstream.{family.tunes}=DIR")
    base = config_of(upstream[family.tunes])
    own = data.get("data", {})
    taken = {"template": base["data"]["template"]} if "template" in base["data"] and family.converses else {}
    return {
        **data,
        "model": config.merge(base["model"], data.get("model", {})),
        "data": config.merge(taken, own) if isinstance(own, Mapping) else own,
    }


def make(cfg: RunConfig, upstream: Mapping[str, Any], text: Ids = NO_TEXT) -> Task:
    """The task of a config as it is trained, also from a run that it starts from, and with LoRA.

    `upstream` has the model config of each upstream run, `text` the ids of the tokenizer.
    """
    task = plain(cfg, upstream, text)
    if START in upstream:
        check_start(cfg, task, upstream, text)
        task = WarmStart(task)
    return task if cfg.lora is None else LoRATask(task, cfg.lora)


def check_used(cfg: RunConfig, task: Task) -> None:
    """Raises ConfigError for settings that act on nothing."""
    if found := unused(cfg, task):
        raise ConfigError("; ".join(found))


def unused(cfg: RunConfig, task: Task) -> list[str]:
    """Settings that act on nothing, a sentence each."""
    found = {**config.unused(cfg), **task.unused(), **families.find(cfg.task.name).unused(cfg)}
    flat = config.flatten(config.to_dict(cfg))
    return [f"{key}={short(flat.get(key))} acts on nothing: {why}" for key, why in found.items()]


def check_start(cfg: RunConfig, task: Task, upstream: Mapping[str, Any], text: Ids) -> None:
    """Raises ConfigError when the run to start from has a model of another kind, ValueError for one of other sizes."""
    model, place = upstream[START], cfg.upstream[START]
    if not isinstance(model, type(cfg.model)):
        raise ConfigError(f"upstream.{START}={place} has a {type(model).__name__}, not a {type(cfg.model).__name__}")
    theirs = plain(dataclasses.replace(cfg, model=model), upstream, text)
    for name, player in task.players.items():
        spec.check(player.specs, spec.abstract(theirs.players[name].specs), place)


def started_otherwise(cfg: RunConfig, upstream: Mapping[str, Any]) -> list[str]:
    """Settings of the model that differ from those of the run that it starts from. Weights of the same sizes fit all
    the same, and a change can be meant, as of dropout or of rotary positions."""
    if START not in upstream:
        return []
    own, theirs = (config.flatten(config.to_dict(model)) for model in (cfg.model, upstream[START]))
    place = cfg.upstream[START]
    return [
        f"model.{key} is {own.get(key)} here; weights of upstream.{START}={place} were trained with {theirs.get(key)}"
        for key in sorted(own.keys() | theirs.keys())
        if own.get(key) != theirs.get(key)
    ]


def plain(cfg: RunConfig, upstream: Mapping[str, Any], text: Ids = NO_TEXT) -> Task:
    """The task of a config by itself, as it is read and evaluated once it is trained."""
    check_upstream(cfg, upstream)
    return families.find(cfg.task.name).make(cfg, upstream, text)


def check_upstream(cfg: RunConfig, upstream: Collection[str]) -> None:
    """Raises ConfigError when an upstream run is missing, or one is given that the task does not read.

    Any task may start from a run of its kind, but for those that begin from other weights by themselves.
    """
    family = families.find(cfg.task.name)
    missing = [name for name in family.upstream if name not in upstream]
    if missing:
        raise ConfigError(f"task {cfg.task.name!r} reads the weights of another run: set upstream.{missing[0]}=DIR")
    known = (*family.upstream, *family.optional, *([START] if family.tunes is None else []))
    for name in upstream:
        if name == START and family.tunes is not None:
            raise ConfigError(
                f"upstream.{START}: task {cfg.task.name!r} begins from upstream.{family.tunes} already; leave it out"
            )
        if name not in known:
            raise ConfigError(
                f"upstream.{name}: task {cfg.task.name!r} reads no such run; {config.nearest(name, known)}"
            )
