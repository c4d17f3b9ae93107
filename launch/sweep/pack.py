"""Trials that differ in learning rate, weight decay and seed alone, trained as one program (gen.train.pack).

Each becomes the run directory that its own command would have made, with its last checkpoint. Until then the state of
all is in WORKDIR/packs/ID, from which the same command goes on. All is on this machine's first device.
"""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import rich

from gen import config, status
from gen.train import files, manifest
from gen.train import pack as packs
from gen.train.pack import Member
from gen.train.run_dir import RunDir
from launch import catalog, runs
from launch.assembled import Assembled, assemble, take
from launch.sweep.outcome import locked
from launch.sweep.record import Sweep

SCALARS = ("optim.lr", "optim.weight_decay", "seed")
MEMBERS = "pack.json"


def shape(data: Mapping[str, Any]) -> str:
    """The same for two configs that differ in scalars alone. Without weight decay an optimizer has one part less."""
    flat = config.flatten(data)
    rest = {key: value for key, value in flat.items() if key not in SCALARS}
    decays = config.convert(flat.get("optim.weight_decay", 0.0), float, "optim.weight_decay") != 0
    return json.dumps([rest, decays], sort_keys=True)


def packable(data: Mapping[str, Any]) -> bool:
    """Whether a config is of one run that reads no other, with one optimizer."""
    return "stages" not in data and not data.get("upstream") and not data.get("optim", {}).get("players")


def run(sweep: Sweep, packs: Sequence[Sequence[str]], tell: Callable[[str, int], None]) -> bool:
    """Trains each pack; returns whether a signal came first."""
    return any(Packed(sweep, trials).train(tell) == status.PREEMPTED for trials in packs)


def groups(sweep: Sweep, left: Sequence[str]) -> list[list[str]]:
    """Of the trials that are left those that go together: first in packs that were begun, as they were, then others. A
    pack of which a trial has gone on by itself, or that another job has, is given up."""
    begun = []
    for path in sorted((sweep.path / "packs").glob(f"*/{MEMBERS}")):
        trials = files.read_json(path)["trials"]
        if set(trials) <= set(sweep.trials) and all(was_packed(sweep.place(trial)) for trial in trials):
            begun.append(trials)
        else:
            remove(path.parent)
    found: dict[str, list[str]] = {}
    for trial in left:
        fresh = not sweep.place(trial).exists()  # one begun by itself goes on by itself
        if fresh and not any(trial in trials for trials in begun) and packable(sweep.data(trial)):
            found.setdefault(shape(sweep.data(trial)), []).append(trial)
    due = [trials for trials in begun if set(trials) & set(left)]
    return due + [trials for trials in found.values() if len(trials) > 1]


def was_packed(place: Path) -> bool:
    """Whether nobody but a pack has trained a trial, or trains it now."""
    return not locked(place) and all("pack" in launch for launch in RunDir(place).launches())


def remove(place: Path) -> None:
    """A pack's directory: first what makes it one."""
    (place / MEMBERS).unlink()
    shutil.rmtree(place)


class Packed:
    """Some trials of a sweep as one run."""

    def __init__(self, sweep: Sweep, trials: Sequence[str]):
        self.sweep, self.trials = sweep, trials
        self.told = set[str]()  # whose end is known, of a pack that was killed while it was taken apart
        name = hashlib.sha256(" ".join(trials).encode()).hexdigest()[:8]
        self.own = RunDir(sweep.path / "packs" / name)

    def train(self, tell: Callable[[str, int], None]) -> int:
        first, *others = (self.sweep.data(trial) for trial in self.trials)
        made = assemble(first, self.own, devices=jax.local_devices()[:1])
        held_out = made.feed.evaluate(made.cfg.train.batch_size)
        mades = [made, *(dataclasses.replace(made, cfg=catalog.resolve(other)) for other in others)]
        self.own.make()
        files.write_json(self.own.path / MEMBERS, {"trials": list(self.trials)})
        members = [self.member(trial, one) for trial, one in zip(self.trials, mades, strict=True)]
        around = runs.surroundings(made, held_out, {}, self.own)
        rich.print(f"{len(members)} trials as one program")
        try:
            code = packs.train(made.task, members, around)
            if code == status.PREEMPTED:
                return code
            endings = packs.unpack(made.task, members, around)
            for trial, member, ended in zip(self.trials, members, endings, strict=True):
                member.run.record_end(ended)
                if trial not in self.told:
                    tell(trial, ended)
        finally:
            for member in members:
                member.run.release()
        remove(self.own.path)
        return code

    def member(self, trial: str, made: Assembled) -> Member:
        run = RunDir(self.sweep.place(trial))
        take(run, made)
        if any("status" in launch for launch in run.launches()[-1:]):
            self.told.add(trial)
        entry = manifest.launch(dict(made.mesh.shape), config.to_dict(made.cfg), made.feed.fingerprint)
        run.record_launch({**entry, "pack": len(self.trials)})
        return Member(made.cfg, run, runs.shower(made, run))
