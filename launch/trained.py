"""Runs that others read: a finished (or growing) run directory as a config, a tokenizer and verified weights.

    run = Run.open("runs/digits/clip")
    params = run.load(clip_spec(run.cfg.model), mesh)
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

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
    digest: str | None = None

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
        params = self.part(f"players/{player}/{kept}", meshes.shardings(specs, mesh))
        spec.check(specs, params, str(self.path))
        return params

    def extra(self, shardings: Any = None) -> Params:
        """The task's state beside the weights."""
        step, digest = self.step, self.digest
        extra = self.part("extra", shardings)
        self.digest = digest if step == self.step else self.digest
        return extra

    def part(self, subtree: str, shardings: Any, warn: Callable[[str], None] = print) -> Params:
        """One part of the newest intact checkpoint; further parts come from the same step."""
        self.step, params, self.digest = restore.load_params(
            self.path / "checkpoints", self.step, subtree, shardings, warn
        )
        return params

    def tokenizer(self) -> Tokenizer:
        """Raises ValueError when the run reads no captions."""
        if not (self.path / TOKENIZER).exists():
            raise ValueError(f"{self.path} has no {TOKENIZER}: that run reads no captions")
        return load_tokenizer(self.path / TOKENIZER)


def record_upstream(run: RunDir, upstream: Mapping[str, Run]) -> None:
    """Writes which weights of other runs this run reads, so that it can be told stale when they change."""
    read = {name: {"path": str(other.path), "step": other.step, "digest": other.digest} for name, other in upstream.items()}
    files.write_json(run.path / UPSTREAM, read)
