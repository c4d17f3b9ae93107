"""A sweep's directory: what is swept, and a run directory for each trial.

DIR/sweep.json       the config file, the base config as data, and the overrides of each trial by id
DIR/trials/ID/       the run of a trial; DIR/trials/ID.log is what it said
DIR/index.html       the report, beside table.csv
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypedDict

from gen import config, files
from gen.messages import bare
from gen.runs import output, registry, stack
from gen.runs.train import with_overrides
from gen.sweep.space import Overrides
from gen.sweep.trials import as_flag
from gen.training import legacy
from gen.training.config import RunConfig
from gen.training.run_dir import RunDir, differing

SWEEP = "sweep.json"
PAGES = ("table.csv", "index.html")  # of gen/sweep/report.py


class _File(TypedDict):
    """The keys that are compared with a sweep that exists; the others inform people."""

    sweep: str
    base: dict[str, Any]


class Sweep(NamedTuple):
    """`config` is the file as it was named, `name` the function, `set` the overrides of all trials, `base` the config
    with them, and `kept` what trials of an earlier version leave to the others (`rules`)."""

    path: Path
    config: str
    name: str
    set: list[tuple[str, str]]
    base: dict[str, Any]
    trials: dict[str, Overrides]
    kept: Mapping[str, Any] = MappingProxyType({})

    def place(self, trial: str) -> Path:
        return self.path / "trials" / trial

    def log(self, trial: str) -> Path:
        return self.path / "trials" / f"{trial}.log"

    def data(self, trial: str) -> dict[str, Any]:
        """The config of a trial."""
        return with_overrides(self.base, [*self.kept.items(), *self.trials[trial].items()])

    def steps(self, trial: str) -> dict[str, int]:
        """How many steps a trial that is done has trained, by the name of its stage; "" where it is no stack."""
        data = self.data(trial)
        if "stages" not in data:
            return {"": int(data["train"]["steps"])}
        stages, _ = stack.stage_configs(data, Path())
        return {name: int(stage["train"]["steps"]) for name, stage in stages.items() if "train" in stage}

    def words(self, trial: str) -> list[str]:
        """The command of a trial, behind the interpreter."""
        flags = [f"--config.{key}={value}" for key, value in self.set]
        overrides = [*self.kept.items(), *self.trials[trial].items()]
        flags += [f"--config.{key}={as_flag(value)}" for key, value in overrides]
        return ["-m", "launch.train", f"--config={self.config}", f"--workdir={self.place(trial)}", *flags]

    def command(self, trial: str, python: str = "python") -> str:
        """What a user would type."""
        return shlex.join([python, *self.words(trial)])


def rules(path: Path, base: Mapping[str, Any]) -> dict[str, Any]:
    """The dotted keys of `base` that mean other than in the trials of a sweep which an earlier version began: by them
    all its trials have the same data held out."""
    meant = resolved(base)
    for place in sorted(path.glob("trials/*/config.json")):
        taken = config.flatten(legacy.taken_over(base, meant, RunDir(place.parent).config()))
        return {key: value for key, value in taken.items() if config.flatten(meant)[key] != value}
    return {}


def keep(sweep: Sweep) -> None:
    """Writes sweep.json. Trials that a sweep has no longer stay in their directories, and out of its table.

    Raises ValueError where the directory is that of a run, or of a sweep over another config.
    """
    check_free(sweep)
    data = {"config": sweep.config, "sweep": sweep.name, "set": [list(pair) for pair in sweep.set]}
    files.make_folder(sweep.path / "trials")
    files.write_json(sweep.path / SWEEP, {**data, "base": sweep.base, "trials": sweep.trials})


def check_free(sweep: Sweep) -> None:
    if RunDir(sweep.path).config_json.exists() or (sweep.path / stack.STACK).exists():
        raise ValueError(f"{sweep.path} is the directory of a run; give another directory")
    output.pages(sweep.path, PAGES, SWEEP)
    if not (sweep.path / SWEEP).exists():
        return
    old: _File = files.read_json(sweep.path / SWEEP, _File)
    if old["sweep"] != sweep.name:
        raise ValueError(f"{sweep.path} holds the sweep {bare(old['sweep'])}, not {sweep.name}; give another directory")
    if found := differing(resolved(old["base"]), resolved(sweep.base), may_change(sweep.base)):
        raise ValueError(f"{sweep.path} holds a sweep of another config: {'; '.join(found)}; give another directory")


def may_change(base: Mapping[str, Any]) -> list[str]:
    """The keys with which each trial may be resumed."""
    try:
        return config.resumable_keys(registry.resolve(base))
    except ValueError:
        return config.resumable_keys(RunConfig)


def resolved(base: Mapping[str, Any]) -> dict[str, Any]:
    """With every default filled in, where it is a run's that can be by itself: what was typed is then what it means."""
    try:
        return config.to_dict(registry.resolve(base))
    except ValueError:
        return dict(base)
