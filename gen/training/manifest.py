"""What a launch ran with: enough to say later why two runs differ, or that they should not.

launch({"data": 8}, config, data_fingerprint="5f0c...")  ->  {"time": ..., "versions": {...}, "mesh": {...}, ...}
surroundings({"data": 8})                                ->  the part of it that bits depend on
software()                                               ->  what can be told of that before jax is used
"""

import datetime
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import jax

from gen import files, tree

CODE = Path(__file__).parents[2]  # the tree that holds gen/, launch/ and uv.lock
BITS = ("versions", "code", "xla_flags", "devices", "process_count", "mesh", "pack")
INDIRECT = ("code/commit", "code/dirty_sha256")  # say less than the digest of what is executed
TRAINING = "training data"
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


class Launch(TypedDict, total=False):
    """One entry of the manifest; older versions lack some keys, and `start` and `status` come as they are known."""

    time: str
    host: str
    pid: int
    argv: list[str]
    versions: dict[str, str]
    code: dict[str, str | None]
    lockfile_sha256: str | None
    xla_flags: str
    devices: dict[str, Any]
    process_count: int
    mesh: dict[str, int]
    steps: int
    schedule_steps: int | None
    settings: dict[str, Any]
    config_sha256: str
    data_fingerprint: str
    fingerprints: dict[str, str]
    moved: dict[str, list[Any]]  # places of data, as they were and as they are
    pack: int  # of how many trials that were trained as one program
    start: int
    status: int


def launch(
    mesh: Mapping[str, int],
    config: Mapping[str, Any],
    data_fingerprint: str,
    fingerprints: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One entry of the manifest, as JSON; what cannot be found out is None.

    mesh: the size of each axis. config: the run's, resolved. data_fingerprint: whatever names the training data, from
    the data's own room; fingerprints: the same of other parts of the data, such as what is held out, by their names.
    settings: those of task and data with which a run may be resumed, in their places.
    """
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "argv": sys.argv,
        **surroundings(mesh),
        "steps": config["train"]["steps"],  # which schedules span, and a run may be taken up with anew
        "settings": dict(settings or {}),
        "schedule_steps": config.get("optim", {}).get("steps"),  # or, where it is not None, so many
        "config_sha256": config_digest(config),
        "data_fingerprint": data_fingerprint,
        "fingerprints": dict(fingerprints or {}),
    }


def surroundings(mesh: Mapping[str, int]) -> dict[str, Any]:
    """What the bits of a result depend on beside config, weights and seed."""
    devices = {"platform": jax.default_backend(), "kind": jax.devices()[0].device_kind, "count": jax.device_count()}
    return {**software(), "devices": devices, "process_count": jax.process_count(), "mesh": dict(mesh)}


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What bits depend on and is not as it was, as "versions/jax was 0.11.2, is 0.12.0"."""
    old, new = (
        {path: value for path, value in tree.paths({key: entry.get(key) for key in BITS}, is_leaf=lambda x: x is None)}
        for entry in (before, now)
    )
    return [
        f"{path} was {old.get(path)}, is {new.get(path)}"
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path) and path not in INDIRECT
    ]


def fingerprints(entry: Mapping[str, Any]) -> dict[str, str]:
    """The fingerprints of the data in an entry, by name; empty for an entry without any."""
    trained = entry.get("data_fingerprint")
    return {**({TRAINING: trained} if trained else {}), **entry.get("fingerprints", {})}


def data_changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The data that differs between two entries, a sentence each."""
    old, new = fingerprints(before), fingerprints(now)
    return [
        f"the fingerprint of the {name} was {old[name]}, is {new[name]}"
        for name in old
        if name in new and old[name] != new[name]
    ]


def config_digest(config: Mapping[str, Any]) -> str:
    """The SHA-256 of a resolved config."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


@functools.cache  # what this process runs, not what lies there later
def software() -> Mapping[str, Any]:
    """Versions, code and flags: what all processes of a run must have in common, and what bits depend on."""
    return {
        "versions": {"python": platform.python_version(), **{p: importlib.metadata.version(p) for p in PACKAGES}},
        "code": {**code_state(CODE), "source_sha256": source_digest(CODE)},
        "lockfile_sha256": files.sha256(CODE / "uv.lock") if (CODE / "uv.lock").exists() else None,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def source_digest(root: Path) -> str:
    """The SHA-256 of what is executed, which is there without git as well."""
    digest = hashlib.sha256()
    for path in sorted(path for room in ("gen", "launch") for path in (root / room).rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + files.sha256(path).encode())
    return digest.hexdigest()


def code_state(root: Path) -> dict[str, str | None]:
    """The commit of a git tree, and a digest of what differs from it: None where nothing does, or without git."""
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    diff = _git(root, "diff", "--binary", "HEAD")
    untracked = _git(root, "ls-files", "-z", "--others", "--exclude-standard")
    if commit is None or diff is None or untracked is None:
        return {"commit": None, "dirty_sha256": None}
    return {"commit": commit.decode().strip(), "dirty_sha256": _dirty(root, diff, untracked)}


def _dirty(root: Path, diff: bytes, untracked: bytes) -> str | None:
    if not (diff or untracked):
        return None
    digest = hashlib.sha256(diff)
    for name in sorted(filter(None, untracked.split(b"\0"))):
        path = root / os.fsdecode(name)
        digest.update(name + b"\0" + (files.sha256(path) if path.is_file() else "").encode())
    return digest.hexdigest()


def _git(root: Path, *arguments: str) -> bytes | None:
    try:
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
