"""Which trials of a sweep go together as one program: packs that were begun, and new ones.

found = groups(sweep, ["1f6c02a9", "72a0b34f", ...], new=True, most=0)      # [{"1f6c02a9": overrides, ...}]

WORKDIR/packs/ID has the state of all trials of a pack until its end, and pack.json says which they are.
"""

import dataclasses
import itertools
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from gen import config, files
from gen.checkpoint import restore
from gen.jsonfile import NotReadable
from gen.messages import note, short
from gen.runs import registry
from gen.sweep.space import Overrides
from gen.sweep.sweep_dir import Sweep
from gen.training.lock import held
from gen.training.run_dir import RunDir

SCALARS = ("optim.lr", "optim.weight_decay", "seed")
MEMBERS = "pack.json"

type Trials = dict[str, Overrides]


class _File(TypedDict):
    trials: dict[str, dict[str, Any]]


def shape(data: Mapping[str, Any]) -> str:
    """The same for two configs that differ in scalars alone. Without weight decay an optimizer has one part less."""
    flat = config.flatten(data)
    rest = {key: value for key, value in flat.items() if key not in SCALARS}
    decays = config.convert(flat.get("optim.weight_decay", 0.0), float, "optim.weight_decay") != 0
    return json.dumps([rest, decays], sort_keys=True)


def packable(data: Mapping[str, Any]) -> bool:
    """Whether a config is of one run that reads no other, with one optimizer, on one device, and never rewinds."""
    if "stages" in data or data.get("upstream"):
        return False
    cfg = registry.resolve(data)
    on_one = all(size in (1, -1) for size in dataclasses.asdict(cfg.mesh).values())
    return on_one and not cfg.optim.players and cfg.train.spikes.action != "rewind"


def groups(sweep: Sweep, left: Sequence[str], new: bool, most: int) -> list[Trials]:
    """Of the trials that are left those that go together: packs that were begun, as they were, though the sweep may
    have lost some of their trials since; and `new` ones, of at most so many where that is not 0."""
    due = [trials for trials in begun(sweep).values() if trials.keys() & set(left)]
    found: dict[str, list[str]] = {}
    for trial in left if new else ():
        if not any(trial in trials for trials in due) and is_new(sweep.place(trial)) and packable(sweep.data(trial)):
            found.setdefault(shape(sweep.data(trial)), []).append(trial)
    parts = [part for trials in found.values() for part in itertools.batched(trials, most or len(trials))]
    return due + [{trial: sweep.trials[trial] for trial in part} for part in parts if len(part) > 1]


def begun(sweep: Sweep) -> dict[Path, Trials]:
    """Packs that have saved their state, by directory; one of which a trial has been trained by itself is none."""
    every = {path.parent: members(path) for path in sweep.path.glob(f"packs/*/{MEMBERS}")}
    return {
        place: trials
        for place, trials in sorted(every.items())
        if restore.steps(RunDir(place).checkpoints) and all(was_packed(sweep.place(trial)) for trial in trials)
    }


def members(path: Path) -> Trials:
    """The trials of a pack by id. Raises NotReadable."""
    trials: Trials = files.read_json(path, _File)["trials"]
    for name in trials:
        if not re.fullmatch(r"[0-9a-f]{8}", name):  # it names a directory
            raise NotReadable(f"{path}: {short(name)} is not the id of a trial; remove {path.parent}")
    return trials


def is_new(place: Path) -> bool:
    """Whether a trial has nothing to go on from, and nobody trains it."""
    return was_packed(place) and not restore.steps(RunDir(place).checkpoints) and not held(place / "lock")


def was_packed(place: Path) -> bool:
    """Whether nobody but a pack has trained a trial."""
    return all("pack" in launch for launch in RunDir(place).launches())


def clear(sweep: Sweep) -> None:
    """Removes what packs have left that nothing can go on from."""
    for path in set(sweep.path.glob("packs/*")) - begun(sweep).keys():
        if restore.steps(RunDir(path).checkpoints):
            note(f"{path} is given up, as a trial of it has been trained by itself; the others begin again")
        remove(path)


def remove(place: Path) -> None:
    """A pack's directory: first what makes it one."""
    (place / MEMBERS).unlink(missing_ok=True)
    shutil.rmtree(place)
