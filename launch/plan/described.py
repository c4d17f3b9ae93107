"""Runs as their configs describe them, whether they are there or not.

described(command.load_config("configs/unclip/dalle2.py"))      # {"clip": Described(...), "prior": ...}
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gen import config
from gen.tasks.base import Task
from gen.train.config import RunConfig
from gen.train.optim import optimizer, span
from launch import catalog, command, remat, stack, trained


class Described(NamedTuple):
    """A run that need not be there: its config, and the model configs of those that it reads."""

    cfg: RunConfig
    models: Mapping[str, Any]

    def task(self) -> Task:
        return catalog.make(self.cfg, self.models)

    def once(self) -> Task:
        """The task with every product of its model computed once, whose FLOPs are the model's."""
        return catalog.make(remat.once(self.cfg), self.models)


def described(data: Mapping[str, Any]) -> dict[str, Described]:
    """Every run of a config by name, "" for the one of a config without stages. Raises ValueError as training would."""
    if "stages" not in data:
        found = {place: config_of(place) for place in data.get("upstream", {}).values()}
        cfg = catalog.resolve(catalog.inherit(data, found.__getitem__))
        catalog.check_upstream(cfg, cfg.upstream)
        return {"": Described(cfg, {name: catalog.resolve(found[place]).model for name, place in cfg.upstream.items()})}
    stages, places = stack.stage_configs(data, Path())
    cfgs = stack.resolve(stages, places)
    by_place = {str(places[name]): cfg.model for name, cfg in cfgs.items()}
    model_of = lambda place: by_place.get(place) or catalog.resolve(config_of(place)).model
    return {
        name: Described(cfg, {key: model_of(place) for key, place in cfg.upstream.items()})
        for name, cfg in cfgs.items()
    }


def check_all(found: Mapping[str, Described]) -> None:
    """Raises ValueError where a run could not be put together on any machine; what depends on data and on devices is
    left to launch/assembled.py."""
    for one in found.values():
        task, cfg = one.task(), one.cfg
        rows = task.rows(cfg.train.batch_size)
        if rows % cfg.train.accumulate:
            raise ValueError(f"{rows} rows of a batch are not divisible by train.accumulate={cfg.train.accumulate}")
        for name, player in task.players.items():
            optim = cfg.optim.of(name)
            optimizer(optim, player.specs, task.updates(name, span(optim, cfg.train.steps)))


def config_of(place: str) -> Mapping[str, Any]:
    """The config of a run, or of a run to be, which a FILE.py or FILE.py:VARIANT describes."""
    if not place.split(":")[0].endswith(".py"):
        return trained.config_of(place)
    (found,) = described(command.load_config(place)).values()
    return config.to_dict(found.cfg)
