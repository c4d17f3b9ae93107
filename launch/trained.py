"""Runs that others read: a finished (or growing) run directory as a config, a tokenizer and verified weights.

run = Run.open("runs/digits/clip")
params = run.load(clip_spec(run.cfg.model), mesh)
"""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gen import mesh as meshes
from gen import spec
from gen.spec import Params, Specs
from gen.tokenizers import Tokenizer
from gen.tokenizers import load as load_tokenizer
from gen.train import files, restore
from gen.train.config import RunConfig
from gen.train.run_dir import RunDir
from launch import catalog

TOKENIZER = "tokenizer.json"
UPSTREAM = "upstream.json"


@dataclasses.dataclass
class Run:
    """A run directory that is read and never written."""

    path: Path
    cfg: RunConfig
    step: int | None = None  # of the checkpoint that was read; None before
    read: str = ""  # the part of it that `digest` is of
    digest: str = ""

    @classmethod
    def open(cls, place: str | Path) -> "Run":
        """Raises ValueError when the directory holds no run or no checkpoint."""
        path = Path(place)
        run = RunDir(path)
        if not run.config_json.exists():
            raise ValueError(f"{path} is not the directory of a run (it has no config.json); train it first")
        if not restore.steps(run.checkpoints):
            raise ValueError(f"{path} has no checkpoint yet; train it first")
        return cls(path, catalog.resolve(run.config()))

    def load(self, specs: Specs, mesh: Mesh, player: str = "model") -> Params:
        """The averaged weights of a player where the run keeps an average, else its weights; verified, on the mesh."""
        kept = "params" if self.cfg.optim.of(player).ema is None else "ema"
        self.read = f"players/{player}/{kept}"
        params, self.digest = self._part(self.read, meshes.shardings(specs, mesh))
        spec.check(specs, params, str(self.path))
        return params

    def extra(self, mesh: Mesh) -> Params:
        """The task's state beside the weights, whole on every device."""
        return self._part("extra", NamedSharding(mesh, PartitionSpec()))[0]

    def _part(self, subtree: str, shardings: Any) -> tuple[Params, str]:
        """One part of the newest intact checkpoint, with its digest; further parts come from the same step."""
        where = self.path / "checkpoints"
        self.step, params, digest = restore.load_params(where, self.step, subtree, shardings, warn=print)
        return params, digest

    def tokenizer(self) -> Tokenizer:
        """Raises ValueError when the run reads no text."""
        if not (self.path / TOKENIZER).exists():
            raise ValueError(f"{self.path} has no {TOKENIZER}: that run reads no text")
        return load_tokenizer(self.path / TOKENIZER)


def open_upstream(cfg: RunConfig) -> dict[str, Run]:
    """The runs whose weights a run reads. Raises ValueError naming the key of one that is not there."""
    opened = {}
    for name, place in cfg.upstream.items():
        try:
            opened[name] = Run.open(place)
        except ValueError as error:
            raise ValueError(f"{error}, or set --config.upstream.{name}=DIR") from error
    return opened


def record_upstream(run: RunDir, upstream: Mapping[str, Run]) -> None:
    """Writes which weights of other runs this run reads, so that it can be told stale when they change."""
    read = {
        name: {
            "path": os.path.relpath(other.path, run.path),
            "step": other.step,
            "part": other.read,
            "digest": other.digest,
        }
        for name, other in upstream.items()
    }
    for name, old in read_upstream(run.path).items():
        if name in read and old["digest"] != read[name]["digest"]:
            raise ValueError(
                f"{run.path} was begun on other weights of {name} than {upstream[name].path} has now;"
                " train in another directory, or point upstream to the old weights"
            )
    files.write_json(run.path / UPSTREAM, read)


def read_upstream(place: Path) -> dict[str, dict[str, Any]]:
    """What `record_upstream` wrote; nothing for a run that has not begun."""
    record = place / UPSTREAM
    return files.read_json(record) if record.exists() else {}


def stale_upstream(place: Path) -> str | None:
    """The name of an upstream whose weights are no longer those that the run in `place` was trained on."""
    for name, old in read_upstream(place).items():
        _, _, digest = restore.load_params(place / old["path"] / "checkpoints", subtree=old["part"])
        if digest != old["digest"]:
            return name
    return None
