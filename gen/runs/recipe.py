"""Runs as their configs describe them, whether they are there or not.

described(config_file.load_config("configs/unclip/dalle2.py"))      # {"clip": Described(...), "prior": ...}
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gen import config
from gen.runs import config_file, reader, registry, remat, stack
from gen.tasks.base import Task
from gen.training.config import RunConfig
from gen.training.state import check_optimizers


def recipe(file: str | Path, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The config of FILE.py or FILE.py:VARIANT as data, with values in place of its own.

        recipe("configs/lm/stdlib.py:tiny", {"train.steps": 100})

    Raises ValueError naming the file, variant or key that does not exist.
    """
    data: Mapping[str, Any] = config_file.load_config(str(file))
    for key, value in (overrides or {}).items():
        data = config.override(data, key, value)
    return dict(data)


class DescribedRun(NamedTuple):
    """A run that need not be there: its config, and the model configs of those that it reads."""

    cfg: RunConfig
    models: Mapping[str, Any]

    def task(self) -> Task:
        return registry.make(self.cfg, self.models)

    def once(self) -> Task:
        """The task with every product of its model computed once, whose FLOPs are the model's."""
        return registry.make(remat.once(self.cfg), self.models)


def described(data: Mapping[str, Any]) -> dict[str, DescribedRun]:
    """Every run of a config by name, "" for the one of a config without stages. Raises ValueError as training would."""
    if "stages" not in data:
        found = {place: config_of(place) for place in data.get("upstream", {}).values()}
        cfg = registry.resolve(registry.inherit(data, found.__getitem__))
        registry.check_upstream(cfg, cfg.upstream)
        return {
            "": DescribedRun(cfg, {name: registry.resolve(found[place]).model for name, place in cfg.upstream.items()})
        }
    stages, places = stack.stage_configs(data, Path())
    cfgs = stack.resolve(stages, places)
    by_place = {str(places[name]): cfg.model for name, cfg in cfgs.items()}
    model_of = lambda place: by_place.get(place) or registry.resolve(config_of(place)).model
    return {
        name: DescribedRun(cfg, {key: model_of(place) for key, place in cfg.upstream.items()})
        for name, cfg in cfgs.items()
    }


def check_all(found: Mapping[str, DescribedRun]) -> None:
    """Raises ValueError where a run could not be put together on any machine; what depends on data and on devices is
    left to gen/runs/build.py."""
    for one in found.values():
        task, cfg = one.task(), one.cfg
        rows = task.rows(cfg.train.batch_size)
        if rows % cfg.train.accumulate:
            raise ValueError(f"{rows} rows of a batch are not divisible by train.accumulate={cfg.train.accumulate}")
        check_optimizers(cfg.optim, task, cfg.train.steps)


def config_of(place: str) -> Mapping[str, Any]:
    """The config of a run, or of a run to be, which a FILE.py or FILE.py:VARIANT describes."""
    if not place.split(":")[0].endswith(".py"):
        return reader.config_of(place)
    (found,) = described(config_file.load_config(place)).values()
    return config.to_dict(found.cfg)
