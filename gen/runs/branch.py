"""Runs that branch off another: its whole state at a step, optimizer included, taken further under another config.

DIR/ancestry.json    {"run": "../lm", "step": 500, "digest": "...", "config": {"optim.lr": [1e-3, 1e-4]},
                      "ancestry": that of the other run, or null}

parent = find(RunDir(workdir), "runs/lm@500")
"""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from gen import config, files
from gen.checkpoint import checksums, restore, step_dir
from gen.checkpoint.checksums import DamagedCheckpoint
from gen.checkpoint.restore import Warn
from gen.jsonfile import NotReadable
from gen.training import data_skips
from gen.training.run_dir import RunDir
from gen.training.state import State

ANCESTRY = "ancestry.json"
GENERATIONS = 32  # that a record tells of; the oldest runs have records of their own


class BranchRecord(TypedDict):
    """DIR/ancestry.json: `config` has both values of each key that differs, `ancestry` the other run's own record."""

    run: str
    step: int
    digest: str
    config: dict[str, Any]
    ancestry: dict[str, Any] | None


@dataclasses.dataclass(frozen=True)
class Parent:
    """A step of another run, by the digest of all its arrays."""

    run: RunDir
    step: int
    digest: str

    @property
    def checkpoint(self) -> Path:
        return self.run.checkpoints / str(self.step)

    def state(self, abstract: State, warn: Warn) -> tuple[int, State]:
        """Its state on this run's mesh. Raises ValueError where it is gone, damaged, or no longer what it was."""
        now = checksums.read(self.checkpoint).digest() if self.checkpoint.exists() else None
        if now != self.digest:
            raise ValueError(f"{self.checkpoint} is {'gone' if now is None else 'not what this run branched off'}")
        found = restore.restore(self.run.checkpoints, abstract, self.step, warn)
        assert found is not None
        return found


def find(run: RunDir, wanted: str | None) -> Parent | None:
    """What a run branches off, or did when it was begun; None for one that does not.

    Raises ValueError where `wanted`, DIR or DIR@STEP, is no checkpoint, or the run was begun otherwise.
    """
    record = run.path / ANCESTRY
    if run.config_json.exists() and record.exists():  # without a config it is what a command left that failed
        said = _read(record)
        parent = Parent(RunDir(run.path / said["run"]), said["step"], said["digest"])
        if wanted is not None and not _same(wanted, parent):
            raise ValueError(
                f"{run.path} branched off {parent.run.path}@{parent.step}; give the same, or another directory"
            )
        return parent
    if wanted is None:
        return None
    if run.config_json.exists():
        raise ValueError(f"{run.path} was begun without --from; branch off into another directory")
    where, step = split(wanted)
    there = restore.steps(where / "checkpoints")
    if not there or (step is not None and step not in there):
        listed = f"it has {', '.join(map(str, there))}" if there else "it has none"
        raise ValueError(f"--from={wanted}: there is no such checkpoint; {listed}")
    step = there[-1] if step is None else step
    try:
        contents = step_dir.contents(where / "checkpoints" / str(step))
    except DamagedCheckpoint as error:
        raise ValueError(f"--from={wanted}: checkpoint {step} is damaged: {error}; choose another") from error
    return Parent(RunDir(where), step, contents.digest())


def record(run: RunDir, parent: Parent, own: Mapping[str, Any]) -> None:
    """Writes, for a run that is not begun yet, what it branches off, and the batches that were left out on the way
    there: first the former, so that nobody who is stopped in between leaves skips that belong to no branch."""
    if run.config_json.exists():
        return
    theirs, ours = config.flatten(parent.run.config()), config.flatten(own)
    differing = {key: [theirs.get(key), ours.get(key)] for key in sorted(theirs.keys() | ours.keys())}
    before = parent.run.path / ANCESTRY
    said = {
        "run": os.path.relpath(parent.run.path, run.path),
        "step": parent.step,
        "digest": parent.digest,
        "config": {key: pair for key, pair in differing.items() if pair[0] != pair[1]},
        "ancestry": _kept(dict(_read(before))) if before.exists() else None,
    }
    files.write_json(run.path / ANCESTRY, said)
    if skips := data_skips.of(step_dir.contents(parent.checkpoint).extra, parent.step):
        files.write_json(run.path / data_skips.SKIPS, {"skips": [dataclasses.asdict(skip) for skip in skips]})


def split(place: str) -> tuple[Path, int | None]:
    """The directory and the step of DIR or DIR@STEP."""
    where, at, step = place.rpartition("@")
    return (Path(where), int(step)) if at and step.isdigit() else (Path(place), None)


def _read(record: Path) -> BranchRecord:
    said: BranchRecord = files.read_json(record, BranchRecord)
    if said["step"] < 0 or "\0" in said["run"]:
        raise NotReadable(f"{record} names no step of another run; restore it from a copy")
    return said


def _kept(said: dict[str, Any]) -> dict[str, Any]:
    """A record without its oldest generations: JSON that is nested too deep cannot be read."""
    generations = [said]
    while len(generations) < GENERATIONS and isinstance(older := generations[-1].get("ancestry"), dict):
        generations.append(older)
    kept: dict[str, Any] | None = None
    for one in reversed(generations):
        kept = {**one, "ancestry": kept}
    return kept or said


def _same(wanted: str, parent: Parent) -> bool:
    where, step = split(wanted)
    return where.resolve() == parent.run.path.resolve() and step in (None, parent.step)
