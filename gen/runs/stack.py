"""A stack: an ordered list of stages, each a run directory under the stack's own, trained where missing or stale.

    config.order = ("clip", "prior", ...)
    config.stages = {"clip": {...}, "prior": {..., "upstream": {"clip": "clip"}}, ...}

An upstream that names a stage means that stage's run; anything else is a path. `runs: {"clip": "DIR"}` takes a stage
from a run elsewhere instead of training it. All other keys are set for every stage.

Each stage records the digest of the weights it read. When those weights change the stage is stale: it is named, moved
aside and trained anew. One job at a time trains a stack, and no stage is moved that another job trains.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypedDict

import jax

from gen import config, exit_codes, files, hosts
from gen.config import ConfigError
from gen.files import CannotWrite, UnsafePath
from gen.jsonfile import NotReadable
from gen.messages import say, short
from gen.runs import reader, registry
from gen.runs import train as runs
from gen.training.config import RunConfig
from gen.training.run_dir import InUse, RunDir

STACK = reader.STACK
# what a stage that trains nothing has in its config, and what runs it: `STAGE` and `stage` of a module
OTHER = {"rank": "gen.pipelines.preferences"}


class _File(TypedDict):
    stages: list[tuple[str, str]]


def train(data: Mapping[str, Any], workdir: str | Path) -> int:
    """Trains the stages of a stack in order; returns the first exit status that is not 0, or 0."""
    root = Path(workdir)
    stages, places = stage_configs(data, root)
    resolve(stages, places)
    check(data, places)
    own = RunDir(root)
    hosts.all_or_raise("stack", lambda: take(own, places), InUse, CannotWrite, UnsafePath)
    try:
        for name, stage in stages.items():
            set_aside_if_stale(name, places[name])
            other = other_kind(stage)
            outcome = other.stage(stage, places[name]) if other else runs.train(stage, places[name])
            if outcome != exit_codes.DONE:
                return outcome
        return exit_codes.DONE
    finally:
        own.release()


def check(data: Mapping[str, Any], places: Mapping[str, Path]) -> None:
    """Raises ValueError where a stage could not be trained, before the first of them is."""
    from gen.runs.recipe import check_all, described

    found = described(data)
    check_all(found)
    for name, stage in found.items():
        if name and not RunDir(places[name]).config_json.exists():
            registry.check_used(stage.cfg, stage.task())


def take(own: RunDir, places: Mapping[str, Path]) -> None:
    """Makes the directory of the stack this job's, and says in it where the stages are."""
    if jax.process_index() == 0:
        own.make()
        own.take()
        inside = [[name, name if place == own.path / name else str(place.resolve())] for name, place in places.items()]
        files.write_json(own.path / STACK, {"stages": inside})


def places(root: Path) -> dict[str, Path]:
    """Where the stages of a stack are, in order: under its directory, by their names, or where `runs` has named one.

    Raises NotReadable where its record is missing or names another place.
    """
    record = root / STACK
    found: dict[str, Path] = {}
    for name, where in files.read_json(record, _File)["stages"]:
        if where != name and not Path(where).is_absolute():
            raise NotReadable(f"{record}: the stage {short(name)} is at {short(where)}, which is not under its name")
        if not name or name in (".", "..") or "/" in name or "\0" in where or name in found:
            raise NotReadable(f"{record}: {short(name)} is not the name of a stage, or is there twice")
        found[name] = root / where
    if not found:
        raise NotReadable(f"{record} has no stages; restore it from a copy")
    return found


def stage_configs(data: Mapping[str, Any], root: Path) -> tuple[dict[str, dict[str, Any]], dict[str, Path]]:
    """The config of each stage that is trained here, with its upstreams as paths, and the place of every stage.

    Raises ConfigError where `order` and `stages` differ, or `runs` names no stage.
    """
    order = data.get("order", ())
    if set(order) != set(data["stages"]):
        raise ConfigError(f"order ({', '.join(order)}) must name every stage once ({', '.join(data['stages'])})")
    shared = {key: value for key, value in data.items() if key not in ("order", "stages", "runs")}
    elsewhere = data.get("runs", {})
    for name in elsewhere:
        if name not in data["stages"]:
            raise ConfigError(f"runs.{name}: there is no such stage; {config.nearest(name, data['stages'])}")
    places = {name: Path(elsewhere.get(name, root / name)) for name in order}
    stages = {}
    for name in order:
        own = data["stages"][name]
        # what is set for the stack is set for each
        stage = {**own, "seed": shared.get("seed", 0)} if other_kind(own) else config.merge(own, shared)
        upstream = {key: str(places.get(place, place)) for key, place in stage.get("upstream", {}).items()}
        if name not in elsewhere:
            stages[name] = {**located(stage, places), "upstream": upstream}
    return stages, places


def located(stage: Mapping[str, Any], places: Mapping[str, Path]) -> dict[str, Any]:
    """A stage with {NAME} in the strings of its `data` as the place of the stage NAME, whose files it reads."""

    def fill(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: fill(inner) for key, inner in value.items()}
        if isinstance(value, str):
            for name, place in places.items():
                value = value.replace(f"{{{name}}}", str(place))
        return value

    return {key: fill(value) if key == "data" else value for key, value in stage.items()}


def resolve(stages: Mapping[str, Mapping[str, Any]], places: Mapping[str, Path]) -> dict[str, RunConfig]:
    """The configs of stages that may not be trained yet; a stage finds what it begins from in another's."""
    cfgs: dict[str, RunConfig] = {}
    for name, stage in stages.items():
        if other := other_kind(stage):
            if hosts.joined():
                raise ConfigError(
                    f"stage {name} trains nothing, and one process does it alone; train this stack in one"
                )
            config.build(other.STAGE, stage, name)
            continue
        done = {str(places[before]): config.to_dict(cfg) for before, cfg in cfgs.items()}
        known = lambda place, done=done: done.get(place) or reader.config_of(place)
        cfgs[name] = registry.resolve(registry.inherit(stage, known))
    return cfgs


def other_kind(stage: Mapping[str, Any]) -> ModuleType | None:
    """The module of a stage that trains nothing; None of one that does."""
    found = next((module for key, module in OTHER.items() if key in stage), None)
    return None if found is None else importlib.import_module(found)


def set_aside_if_stale(name: str, place: Path) -> None:
    """Moves a stage's directory aside when the weights that it was trained on are not those that are there now."""
    upstream = hosts.all_gather("stale", reader.stale_upstream(place))[0]  # all have looked before it is moved
    if upstream is not None:
        hosts.all_or_raise("set aside", lambda: set_aside(name, place, upstream), InUse, OSError)


def set_aside(name: str, place: Path, upstream: str) -> None:
    """Raises InUse where another job trains the stage."""
    if jax.process_index() == 0:
        run = RunDir(place)
        run.take()
        old = reader.read_upstream(place)[upstream]["digest"]
        aside = place.with_name(f"{place.name}.stale-{old[:8]}")
        say(f"stage {name} is stale: the weights of {upstream} changed; its run so far is kept in {aside}")
        place.rename(aside)
        run.release()
