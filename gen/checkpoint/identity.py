"""Which run a checkpoint belongs to, and which step of it, so that a directory that was moved is not taken for another.

DIR/manifest.json    {"run": {"id": "5f0c...", "configs": ["9a31...", ...]}, "launches": [...]}
DIR/checkpoints/N/proof/0.json    {"origin": {"step": N, "run": "5f0c...", "config": "9a31..."}, ...}

A run draws its id when its directory is first taken. `configs` are the digests of its config, without the keys that may
change on resume; a version of gen that adds a key adds a digest. A copy of the whole directory is the same run.
Directories of version 0.1.0 have neither, and of their checkpoints the step alone is compared, by the digest of the
state's own `step`.
"""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

import jax.numpy as jnp
import numpy as np

from gen import files
from gen.checkpoint import digest
from gen.checkpoint.checksums import ArrayRecord, DamagedCheckpoint, Origin, StepManifest
from gen.messages import bare

MANIFEST = "manifest.json"
STEP = "step"  # the path of a state's count of steps


class Identity(TypedDict):
    """A run's id, and the digests of its config, the present one last."""

    id: str
    configs: list[str]


class _Manifest(TypedDict):
    run: NotRequired[Identity]


class Misplaced(DamagedCheckpoint):
    """A checkpoint is intact, and is of another step or run than its place says."""


def of(run: Path) -> Identity | None:
    """The identity of the run in a directory, None where it has none. Raises NotReadable."""
    manifest = run / MANIFEST
    return files.read_json(manifest, _Manifest).get("run") if manifest.exists() else None


def origin(step: int, run: Identity | None) -> Origin:
    """The origin that a checkpoint of a run records."""
    return {"step": step} if run is None else {"step": step, "run": run["id"], "config": run["configs"][-1]}


def with_config(run: Identity | None, config: str, saved: Sequence[Origin]) -> Identity:
    """The identity of a run that goes on under a config with this digest.

    saved: what its checkpoints say of themselves, the newest last. A run without an identity, as where its manifest is
    lost, takes that of its newest checkpoint of the same config.
    """
    if run is None:
        known = [one["run"] for one in saved if one.get("config") == config and "run" in one]
        run = {"id": known[-1] if known else secrets.token_hex(8), "configs": []}
    return {"id": run["id"], "configs": [*(one for one in run["configs"] if one != config), config]}


def check(step_dir: Path, contents: StepManifest) -> None:
    """Raises Misplaced where a step directory is not the step, or not of the run, that its place says."""
    said, place = contents.origin, int(step_dir.name)
    if said is None:
        _check_own_count(place, contents.arrays)
        return
    if said["step"] != place:
        raise Misplaced(f"it was saved as step {said['step']}, and has been renamed or copied")
    run = of(step_dir.parent.parent)
    if run is None or "run" not in said:
        return
    if said["run"] != run["id"]:
        raise Misplaced(
            f"it was saved by another run ({bare(said['run'])}, and this one is {bare(run['id'])});"
            " a new run begins from it with --from=RUN@STEP"
        )
    if said.get("config") not in run["configs"]:
        raise Misplaced("it was saved under another config than those of this run")


def _check_own_count(place: int, arrays: Mapping[str, ArrayRecord]) -> None:
    """Of a checkpoint that does not say: the digest of an integer tells which one it is."""
    count = arrays.get(STEP)
    if count is None or count.shape != () or not jnp.issubdtype(jnp.dtype(count.dtype), jnp.integer):
        return
    possible = place <= jnp.iinfo(count.dtype).max
    if not possible or count.digest != digest.host_digest(np.asarray(place, count.dtype)):
        raise Misplaced(f"its state is not that before step {place}: it has been renamed or copied")
