"""A stack: an ordered list of stages, each a run directory under the stack's own, trained where missing or stale.

    config.order = ("clip", "prior", ...)
    config.stages = {"clip": {...}, "prior": {..., "upstream": {"clip": "clip"}}, ...}

An upstream that names a stage means that stage's run; anything else is a path. `runs: {"clip": "DIR"}` takes a stage
from a run elsewhere instead of training it. All other keys are set for every stage.

Each stage records the digest of the weights it read. When those weights change the stage is stale: it is named, moved
aside and trained anew.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gen import config
from gen.config import ConfigError
from gen.train import files, status
from launch import catalog, runs, trained

STACK = "stack.json"


def train(data: Mapping[str, Any], workdir: str | Path) -> int:
    """Trains the stages of a stack in order; returns the first exit status that is not 0, or 0."""
    root = Path(workdir)
    stages, places = stage_configs(data, root)
    for stage in stages.values():
        catalog.resolve(stage)
    root.mkdir(parents=True, exist_ok=True)
    inside = [[name, name if place == root / name else str(place.resolve())] for name, place in places.items()]
    files.write_json(root / STACK, {"stages": inside})
    for name, stage in stages.items():
        set_aside_if_stale(name, places[name])
        outcome = runs.train(stage, places[name])
        if outcome != status.DONE:
            return outcome
    return status.DONE


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
        stage = merge(data["stages"][name], shared)
        upstream = {key: str(places.get(place, place)) for key, place in stage.get("upstream", {}).items()}
        if name not in elsewhere:
            stages[name] = {**stage, "upstream": upstream}
    return stages, places


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with every leaf of `over`, which wins: what is set for the stack is set for each stage."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def set_aside_if_stale(name: str, place: Path) -> None:
    """Moves a stage's directory aside when the weights that it was trained on are not those that are there now."""
    upstream = trained.stale_upstream(place)
    if upstream is None:
        return
    old = trained.read_upstream(place)[upstream]["digest"]
    aside = place.with_name(f"{place.name}.stale-{old[:8]}")
    print(f"stage {name} is stale: the weights of {upstream} changed; its run so far is kept in {aside}")
    place.rename(aside)
