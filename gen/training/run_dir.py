"""A run directory: the data that explains a run, so that it can be resumed, verified, sampled and replayed.

DIR/config.json      the resolved config
DIR/manifest.json    one entry per launch (gen.training.manifest)
DIR/metrics.jsonl    one object per logged step (gen.training.metrics)
DIR/checkpoints/     gen.checkpoint.checkpointer
DIR/samples/         pictures and text
DIR/lock             held by the job that writes here

The directory may be reached through a link; what lies in it, and is written, may be none.

run = RunDir(Path("runs/digits"))
run.claim(config, may_change=("train.steps", "checkpoint", "log"))
run.record_launch(manifest.launch({"data": 8}, config, "5f0c..."))
"""

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import jax

from gen import files, tree
from gen.checkpoint import checksums, identity, restore
from gen.checkpoint.identity import Identity
from gen.messages import note, short
from gen.training import legacy, manifest
from gen.training.config import covered
from gen.training.lock import Lock, NoLocks
from gen.training.manifest import Launch


class Config(TypedDict):
    """The sections of a resolved config that are read before its task is known; a stage may train nothing."""

    task: NotRequired[dict[str, Any]]
    model: NotRequired[dict[str, Any]]
    train: NotRequired[dict[str, Any]]
    upstream: NotRequired[dict[str, str]]


class Manifest(TypedDict):
    """DIR/manifest.json."""

    run: NotRequired[Identity]
    launches: list[Launch]


class OtherConfig(ValueError):
    """The directory belongs to a run of another config."""


class InUse(ValueError):
    """Another job has the directory, until it ends."""


class RunDir:
    """The places of one run, and the writing of config and manifest, which process 0 does."""

    def __init__(self, path: Path):
        """Names the places; nothing is read or written yet."""
        self.path = path
        self.config_json = path / "config.json"
        self.manifest_json = path / identity.MANIFEST
        self.metrics_jsonl = path / "metrics.jsonl"
        self.checkpoints = path / "checkpoints"
        self.samples = path / "samples"
        self._lock = Lock(path / "lock")

    def make(self) -> None:
        """Makes the directory if need be. Raises CannotWrite, or UnsafePath where a link is among its parts."""
        with files.writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        for part in (self.config_json, self.manifest_json, self.metrics_jsonl, self.checkpoints, self.samples):
            files.check_own(part)

    def claim(
        self,
        config: Mapping[str, Any],
        may_change: Sequence[str],
        complete: Callable[[Any], Any] = lambda old: old,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        """Makes the directory and writes the config; one that is there already must be the same.

        config: resolved, of nested mappings and JSON values. may_change: dotted keys, such as "train.steps", or whole
        sections, such as "log", that a run may take up anew. complete: gives the config that is there already the keys
        that have come into being since, with what they mean when nothing is said. before: writes, in process 0, the
        files that a run with a config has: where they are not finished there is no config, and so no run. The directory
        stays this job's until `release`. Raises OtherConfig naming the keys that differ, InUse where another job has
        it, CannotWrite where it cannot be written.
        """
        plain = json.loads(json.dumps(config))  # as it will be read back: tuples are lists
        self.make()
        if self.config_json.exists():
            self._refuse_other(json.loads(json.dumps(complete(self.config()))), plain, may_change)
        if jax.process_index() == 0:
            self.take()
            before()
            files.write_json(self.config_json, plain)
            self.identify(plain, may_change)

    def release(self) -> None:
        """Leaves the directory to other jobs, as the end of the process does by itself."""
        self._lock.release()

    def take(self) -> None:
        """Makes the directory this job's, by a lock that a job that is killed does not leave behind. Raises InUse where
        another job has it, CannotWrite where there can be no lock."""
        try:
            with files.writing(self.path):
                taken = self._lock.take()
        except NoLocks:
            note(f"the file system of {self.path} has no locks: see to it that one job alone writes there")
            return
        if not taken:
            # who holds it may not have trained yet, or never will, as `launch.checkpoint gc`
            last = "".join(
                f" (the last that trained there was process {who['pid']} on {short(who['host'])[1:-1]},"
                f" started at {short(who['time'])[1:-1]})"
                for who in self.launches()[-1:]
                if {"pid", "host", "time"} <= who.keys()
            )
            raise InUse(f"{self.path} is in use by another job{last}; wait for it, or choose another directory")

    def config(self) -> dict[str, Any]:
        """The resolved config of the run, with the keys that earlier versions did not write (legacy.py). Raises
        NotReadable if it is missing or malformed."""
        return legacy.completed(files.read_json(self.config_json, Config))

    def identify(self, config: Mapping[str, Any], may_change: Sequence[str] = ()) -> None:
        """Gives the run an id if it has none, and records its config, which checkpoints are compared with; for process
        0 of a job that has taken the directory."""
        flat = _flat(legacy.digested(config))
        what = manifest.config_digest({k: v for k, v in flat.items() if not covered(k, may_change)})
        found = self._manifest()
        known = found.get("run")
        now = identity.with_config(known, what, self._origins() if known is None else [])
        if now != known:
            files.write_json(self.manifest_json, {**found, "run": now})

    def identity(self) -> Identity | None:
        """Which run this is; None for one that version 0.1.0 has made, or no run."""
        return identity.of(self.path)

    def record_launch(self, entry: Mapping[str, Any]) -> None:
        """Adds this launch (gen.training.manifest) to the manifest."""
        if jax.process_index() == 0:
            self._record([*self.launches(), dict(entry)])

    def record_start(self, step: int) -> None:
        """Says of this launch from which step on it trains."""
        self._amend({"start": step})

    def record_end(self, status: int) -> None:
        """Says of this launch how it ended, where it was not cut off."""
        self._amend({"status": status})

    def launches(self) -> list[Launch]:
        """Every launch so far, oldest first. Raises NotReadable."""
        return self._manifest()["launches"]

    def _amend(self, more: Mapping[str, int]) -> None:
        if jax.process_index() == 0 and (before := self.launches()):
            self._record([*before[:-1], {**before[-1], **more}])

    def _record(self, launches: Sequence[Mapping[str, Any]]) -> None:
        files.write_json(self.manifest_json, {**self._manifest(), "launches": launches})

    def _manifest(self) -> Manifest:
        return files.read_json(self.manifest_json, Manifest) if self.manifest_json.exists() else {"launches": []}

    def _origins(self) -> list[checksums.Origin]:
        """The origins of the checkpoints that can be read, the newest last."""
        found = []
        for step in restore.steps(self.checkpoints):
            with contextlib.suppress(checksums.DamagedCheckpoint, OSError):
                found.append(checksums.read(self.checkpoints / str(step)).origin)
        return [one for one in found if one is not None]

    def launch_of(self, step: int) -> dict[str, Any]:
        """As the function of this name, of the launches so far."""
        return launch_of(self.launches(), step)

    def _refuse_other(self, before: dict[str, Any], config: dict[str, Any], may_change: Sequence[str]) -> None:
        if found := differing(before, config, may_change):
            raise OtherConfig(
                f"{self.path} belongs to another config: {'; '.join(found)}; give the same config, or another directory"
            )


def launch_of(launches: Sequence[Mapping[str, Any]], step: int) -> dict[str, Any]:
    """The last launch that trained from `step` or earlier on; empty where the manifest does not say."""
    return next((dict(one) for one in reversed(launches) if one.get("start", step + 1) <= step), {})


def differing(before: dict[str, Any], now: dict[str, Any], may_change: Sequence[str]) -> list[str]:
    """Which keys of two configs differ, as "model.width was 64, now 32", but for those that `may_change`."""
    old, new = _flat(before), _flat(now)
    return [
        f"{key} was {_show(old, key)}, now {_show(new, key)}"
        for key in sorted(old.keys() | new.keys())
        if _show(old, key) != _show(new, key) and not covered(key, may_change)
    ]


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    """{dotted key: value}; a list, None and an empty section are values."""
    leaves = tree.paths(config, is_leaf=lambda node: not (isinstance(node, dict) and node))
    return {path.replace("/", "."): value for path, value in leaves}


def _show(flat: dict[str, Any], key: str) -> str:
    return json.dumps(flat[key]) if key in flat else "absent"
