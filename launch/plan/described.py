"""Runs as their configs describe them, whether they are there or not.

described(command.load_config("configs/unclip/dalle2.py"))      # {"clip": Described(...), "prior": ...}
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gen import config
from gen.tasks.base import Task
from gen.train.config import RunConfig
from launch import catalog, command, stack, trained


class Described(NamedTuple):
    """A run that need not be there: its config, and the model configs of those that it reads."""

    cfg: RunConfig
    models: Mapping[str, Any]

    def task(self, remat: bool = True) -> Task:
        """As it is trained, or with everything kept that remat would compute twice."""
        cfg = self.cfg if remat else dataclasses.replace(self.cfg, model=with_remat(self.cfg.model, "none"))
        return catalog.make(cfg, self.models)


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


def config_of(place: str) -> Mapping[str, Any]:
    """The config of a run, or of a run to be, which a FILE.py or FILE.py:VARIANT describes."""
    if not place.split(":")[0].endswith(".py"):
        return trained.config_of(place)
    (found,) = described(command.load_config(place)).values()
    return config.to_dict(found.cfg)


def with_remat(model: Any, remat: str) -> Any:
    """A model's config with another `remat` wherever it has one."""
    if not dataclasses.is_dataclass(model) or isinstance(model, type):
        return model
    changed = {
        field.name: remat if field.name == "remat" else with_remat(getattr(model, field.name), remat)
        for field in dataclasses.fields(model)
    }
    return dataclasses.replace(model, **changed)
