"""Every task by name: from the `task` and `model` sections of a config to a Task.

cfg = resolve({"task": {"name": "clip"}, "model": {...}, "data": {...}, "train": {...}})
task = make(cfg, upstream={})
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from gen import config, spec
from gen.config import ConfigError
from gen.data.chat import ChatConfig
from gen.data.classes import LabelledConfig
from gen.data.pipeline import DataConfig
from gen.data.preferences import RankingConfig
from gen.data.prompts import PromptConfig
from gen.data.text import TextConfig
from gen.messages import short
from gen.models.clip import CLIPConfig
from gen.models.decoder import DecoderConfig
from gen.models.lm import LMConfig
from gen.models.prior import PriorConfig
from gen.models.unet import UNetConfig
from gen.tasks.base import Task
from gen.tasks.chat import ChatTask, ChatTaskConfig
from gen.tasks.classify import ClassifyTask, ClassifyTaskConfig
from gen.tasks.clip import CLIPTask, CLIPTaskConfig
from gen.tasks.decoder import DecoderTask, DecoderTaskConfig
from gen.tasks.dpo import DPOTask, DPOTaskConfig
from gen.tasks.grpo import GRPOTask, GRPOTaskConfig
from gen.tasks.lm import LMTask, LMTaskConfig
from gen.tasks.lora import LoRAConfig, LoRATask
from gen.tasks.ppo import PPOTask, PPOTaskConfig
from gen.tasks.prior import PriorTask, PriorTaskConfig
from gen.tasks.reward import RewardTask, RewardTaskConfig
from gen.tasks.started import START, StartedTask
from gen.tasks.upsampler import UpsamplerTask, UpsamplerTaskConfig
from gen.train.config import RunConfig


class Ids(NamedTuple):
    """The facts of a tokenizer that a task which writes texts knows: the id that ends one, and how many ids there are;
    None where the model has no more."""

    end: int = 0
    vocab: int | None = None


NO_TEXT = Ids()


class Family(NamedTuple):
    """A task's config classes, the upstream runs that it reads, and how it is made: make(cfg, models of the upstream
    runs, ids of the tokenizer).

    `may` names upstream runs that need not be there. `tunes` is the one whose language model is trained further.
    `writes` says that the run's model is a language model, which writes texts.
    """

    task: type
    model: type
    data: type
    make: Callable[[RunConfig, Mapping[str, Any], Ids], Task]
    upstream: tuple[str, ...] = ()
    may: tuple[str, ...] = ()
    tunes: str | None = None
    writes: bool = False

    @property
    def converses(self) -> bool:
        """Whether the data has a template of conversations."""
        return any(field.name == "template" for field in dataclasses.fields(self.data))


FAMILIES = {
    "clip": Family(
        CLIPTaskConfig,
        CLIPConfig,
        DataConfig,
        lambda cfg, models, text: CLIPTask(cfg.task, cfg.model, cfg.data.resolution),
    ),
    "prior": Family(
        PriorTaskConfig,
        PriorConfig,
        DataConfig,
        lambda cfg, models, text: PriorTask(cfg.task, cfg.model, models["clip"], cfg.data.resolution),
        upstream=("clip",),
    ),
    "decoder": Family(
        DecoderTaskConfig,
        DecoderConfig,
        DataConfig,
        lambda cfg, models, text: DecoderTask(cfg.task, cfg.model, models["clip"], cfg.data.resolution),
        upstream=("clip",),
    ),
    "upsampler": Family(
        UpsamplerTaskConfig,
        UNetConfig,
        DataConfig,
        lambda cfg, models, text: UpsamplerTask(cfg.task, cfg.model, cfg.data.resolution),
    ),
    "lm": Family(
        LMTaskConfig,
        LMConfig,
        TextConfig,
        lambda cfg, models, text: LMTask(cfg.task, cfg.model, text.vocab),
        writes=True,
    ),
    "chat": Family(
        ChatTaskConfig,
        LMConfig,
        ChatConfig,
        lambda cfg, models, text: ChatTask(cfg.task, cfg.model, text.end, text.vocab),
        upstream=("base",),
        tunes="base",
        writes=True,
    ),
    "classify": Family(
        ClassifyTaskConfig,
        LMConfig,
        LabelledConfig,
        lambda cfg, models, text: ClassifyTask(cfg.task, cfg.model),
        upstream=("base",),
        tunes="base",
    ),
    "reward": Family(
        RewardTaskConfig,
        LMConfig,
        RankingConfig,
        lambda cfg, models, text: RewardTask(cfg.task, cfg.model, demonstrations=bool(cfg.data.demonstrations)),
        upstream=("sft",),
        tunes="sft",
    ),
    "ppo": Family(
        PPOTaskConfig,
        LMConfig,
        PromptConfig,
        lambda cfg, models, text: PPOTask(
            cfg.task, cfg.model, models["reward"], text.end, pretrain_rows(cfg.data), text.vocab
        ),
        upstream=("sft", "reward"),
        tunes="sft",
        writes=True,
    ),
    "grpo": Family(
        GRPOTaskConfig,
        LMConfig,
        PromptConfig,
        lambda cfg, models, text: GRPOTask(cfg.task, cfg.model, text.end, models.get("reward"), text.vocab),
        upstream=("sft",),
        may=("reward",),
        tunes="sft",
        writes=True,
    ),
    "dpo": Family(
        DPOTaskConfig,
        LMConfig,
        RankingConfig,
        lambda cfg, models, text: DPOTask(cfg.task, cfg.model),
        upstream=("sft",),
        tunes="sft",
        writes=True,
    ),
}


def pretrain_rows(data: PromptConfig) -> int:
    """How many rows of text stand beside each prompt."""
    return 0 if data.pretrain is None else data.pretrain_rows


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
        "lora": config.convert(data.get("lora"), None | LoRAConfig, "lora"),
    }
    return config.build(RunConfig, {**data, **typed}, "")


def inherit(data: Mapping[str, Any], config_of: Callable[[str], Mapping[str, Any]]) -> Mapping[str, Any]:
    """The config of a task that trains another run further, with what it takes over from that run's config, given by
    `config_of` its place: the model, and the template of conversations, under what the config says itself. Other
    configs are as they were.

    Raises ConfigError when the config does not say which run.
    """
    family = FAMILIES.get(str(config.flatten(data).get("task.name")))
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
        task = StartedTask(task)
    return task if cfg.lora is None else LoRATask(task, cfg.lora)


def check_used(cfg: RunConfig, task: Task) -> None:
    """Raises ConfigError for settings that act on nothing."""
    if found := unused(cfg, task):
        raise ConfigError("; ".join(found))


def unused(cfg: RunConfig, task: Task) -> list[str]:
    """Settings that act on nothing, a sentence each."""
    found = {**config.unused(cfg), **task.unused()}
    if isinstance(cfg.data, PromptConfig) and cfg.data.pretrain is not None and cfg.task.name != "ppo":
        found["data.pretrain"] = f"task {cfg.task.name!r} reads no text beside its prompts"
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
    return FAMILIES[cfg.task.name].make(cfg, upstream, text)


def check_upstream(cfg: RunConfig, upstream: Collection[str]) -> None:
    """Raises ConfigError when an upstream run is missing, or one is given that the task does not read.

    Any task may start from a run of its kind, but for those that begin from other weights by themselves.
    """
    family = FAMILIES[cfg.task.name]
    missing = [name for name in family.upstream if name not in upstream]
    if missing:
        raise ConfigError(f"task {cfg.task.name!r} reads the weights of another run: set upstream.{missing[0]}=DIR")
    known = (*family.upstream, *family.may, *([START] if family.tunes is None else []))
    for name in upstream:
        if name == START and family.tunes is not None:
            raise ConfigError(
                f"upstream.{START}: task {cfg.task.name!r} begins from upstream.{family.tunes} already; leave it out"
            )
        if name not in known:
            raise ConfigError(
                f"upstream.{name}: task {cfg.task.name!r} reads no such run; {config.nearest(name, known)}"
            )
