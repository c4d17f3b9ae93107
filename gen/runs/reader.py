"""Runs that others read: a finished (or growing) run directory as a config, a tokenizer and verified weights.

run = Run.open("runs/digits/clip")
params = run.load(clip_spec(run.cfg.model), mesh)
"""

import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gen import config, files, spec
from gen import mesh as meshes
from gen.checkpoint import digest, restore
from gen.jsonfile import NotReadable
from gen.messages import note, short
from gen.runs import data_paths, family, registry
from gen.spec import Params, Specs
from gen.tasks.base import WeightRef
from gen.tasks.lora import LoRATask
from gen.tokenizers import Tokenizer
from gen.tokenizers import load as load_tokenizer
from gen.training import legacy, manifest
from gen.training.config import UNDIGESTED, RunConfig, covered
from gen.training.run_dir import RunDir

TOKENIZER = "tokenizer.json"
GENERATION = "generation.json"  # of a model from elsewhere: how its texts are framed and ended (gen.interop.generation)
STACK = "stack.json"  # makes a directory one of a stack
UPSTREAM = "upstream.json"


class Read(TypedDict):
    """Weights that a run reads of another: which run by its name in the config, where from there, and which."""

    run: str
    path: str
    step: NotRequired[int | None]
    part: NotRequired[str]  # neither is there for weights that no run of gen's has made
    digest: str


@dataclasses.dataclass
class Run:
    """A run directory that is read and never written. `readers` are the directories through which it is reached."""

    path: Path
    cfg: RunConfig
    step: int | None = None  # of the checkpoint that was read; None before
    part: str = ""  # what was read of it last, and its digest
    digest: str = ""
    elsewhere: Mapping[str, str] = dataclasses.field(default_factory=dict)  # where upstream runs are that have moved
    readers: tuple[Path, ...] = ()  # the runs that this one is read for, which it must not lead back to

    @classmethod
    def open(
        cls,
        place: str | Path,
        step: int | None = None,
        moved: Sequence[tuple[str, Any]] = (),
        readers: tuple[Path, ...] = (),
    ) -> "Run":
        """Opens the newest step, or the one that is given. `moved` are places of its config that have changed
        (gen/runs/data_paths.py). Raises ValueError when the directory holds no run or no checkpoint."""
        path = Path(place)
        run, found = RunDir(path), config_of(place)
        if not restore.steps(run.checkpoints):
            raise ValueError(f"{path} has no checkpoint yet; train it first")
        cfg = registry.resolve(data_paths.overridden(found, moved))
        elsewhere = {key.removeprefix("upstream."): where for key, where in moved if data_paths.UPSTREAM.fullmatch(key)}
        return cls(path, cfg, step, elsewhere=elsewhere, readers=readers)

    @functools.cached_property
    def config_sha256(self) -> str:
        """The digest of the config by which it is read, without what changes nothing that is trained."""
        every = config.flatten(legacy.digested(config.to_dict(self.cfg)))
        return manifest.config_digest({key: value for key, value in every.items() if not covered(key, UNDIGESTED)})

    def load(self, specs: Specs, mesh: Mesh, player: str = "model") -> Params:
        """The averaged weights of a player where the run keeps an average, else its weights; verified, on the mesh.

        Of a run with LoRA they are merged with those that it was begun on. Raises ValueError where these have changed.
        """
        if self.cfg.lora is None:
            return self._player(specs, mesh, player)
        task = registry.make(self.cfg, self.models, self.ids)
        assert isinstance(task, LoRATask)
        own = self._player(task.players[player].specs, mesh, player)
        frozen, records = _load(task.reads(player), self.upstream, mesh)
        check(self.path, records)
        merge = functools.partial(task.merged_params, player)
        params = jax.jit(merge, out_shardings=meshes.shardings(specs, mesh))(own, frozen)
        spec.check(specs, params, str(self.path))
        self.digest = digest_of(self.path, self.part, self.digest)
        return params

    def _player(self, specs: Specs, mesh: Mesh, player: str) -> Params:
        """The weights of a player as they were trained."""
        kept = "params" if self.cfg.optim.of(player).ema is None else "ema"
        params = self._read(f"players/{player}/{kept}", meshes.shardings(specs, mesh))
        spec.check(specs, params, str(self.path))
        return params

    @functools.cached_property
    def upstream(self) -> "dict[str, Run]":
        """The runs whose weights it was trained on, by their names in its config."""
        reads = read_upstream(self.path).values()
        found = {read["run"]: Path(self.elsewhere.get(read["run"], self.path / read["path"])) for read in reads}
        readers = (*self.readers, self.path.resolve())
        if looped := next((place for place in found.values() if place.resolve() in readers), None):
            raise ValueError(f"{self.path / UPSTREAM} leads back to {looped}, whose weights come from this run")
        return {name: Run.open(place, readers=readers) for name, place in found.items()}

    @property
    def models(self) -> dict[str, Any]:
        """The model configs of those runs."""
        return {name: run.cfg.model for name, run in self.upstream.items()}

    @property
    def ids(self) -> family.Ids:
        """The ids of the tokenizer, if the run reads text."""
        if not self.reads_text:
            return family.NO_TEXT
        tokenizer = self.tokenizer()
        return family.Ids(tokenizer.end, tokenizer.vocab_size)

    def extra(self, mesh: Mesh) -> Params:
        """The task's state beside the weights, whole on every device."""
        return self._read("extra", NamedSharding(mesh, PartitionSpec()))

    def _read(self, part: str, shardings: Any) -> Params:
        """One part of the newest intact checkpoint; further parts come from the same step."""
        where = self.path / "checkpoints"
        self.step, params, self.digest = restore.load_params(where, self.step, part, shardings, warn=print)
        self.part = part
        return params

    @property
    def reads_text(self) -> bool:
        return (self.path / TOKENIZER).exists()

    def tokenizer(self) -> Tokenizer:
        """Raises ValueError when the run reads no text."""
        if not self.reads_text:
            raise ValueError(f"{self.path} has no {TOKENIZER}: that run reads no text")
        return load_tokenizer(self.path / TOKENIZER)


def config_of(place: str | Path) -> Mapping[str, Any]:
    """The config of a run, as data. Raises ValueError when there is no run, saying what there is instead."""
    run = RunDir(Path(place))
    if not run.path.exists():
        raise ValueError(f"there is no directory {place}; train it first")
    if (run.path / STACK).exists():
        raise ValueError(f"{place} is the directory of a stack; name one of its stages, as {place}/STAGE")
    if not run.config_json.exists():
        raise ValueError(f"{place} is not the directory of a run (it has no config.json); train it first")
    config = run.config()
    if {"model_type", "architectures"} & config.keys():
        raise ValueError(
            f"{place} has weights in the Hugging Face layout; make a run of them with"
            f" python -m launch.convert --from={place} --to=DIR, and give that"
        )
    if not {"task", "model", "data", "train"} <= config.keys():
        raise ValueError(f"{place} is not the directory of a run (its config.json is of something else)")
    return config


def open_upstream(cfg: RunConfig) -> dict[str, Run]:
    """The runs whose weights a run reads. Raises ValueError naming the key of one that is not there."""
    opened = {}
    for name, place in cfg.upstream.items():
        try:
            opened[name] = Run.open(place)
        except ValueError as error:
            raise ValueError(f"{error}, or set --config.upstream.{name}=DIR") from error
    return opened


def load_upstream(
    reads: Mapping[str, WeightRef], upstream: Mapping[str, Run], mesh: Mesh, run: RunDir | None = None
) -> dict[str, Params]:
    """The weights that a task reads of other runs. With `run`, its directory keeps which they are, so that it can be
    told stale when they change. Raises ValueError when it was begun on others."""
    params, records = _load(reads, upstream, mesh)
    if run is not None:
        record(run, records)
    return params


def load_to_read(reads: Mapping[str, WeightRef], run: Run, mesh: Mesh) -> dict[str, Params]:
    """The weights of other runs that reading a run takes. Those that are others than it was begun on are noted; raises
    ValueError where they are of a place that is given for them."""
    params, records = _load(reads, run.upstream, mesh)
    try:
        check(run.path, records)
    except ValueError as error:
        if run.elsewhere:
            raise
        note(str(error))
    return params


def load_as_begun(
    reads: Mapping[str, WeightRef], upstream: Mapping[str, Run], mesh: Mesh, run: RunDir
) -> dict[str, Params]:
    """The weights that a run's task read of others when it was begun, from the steps that they were of. Raises
    ValueError where these are gone, or hold others now."""
    then = {reads[name].run: old.get("step") for name, old in read_upstream(run.path).items() if name in reads}
    at = {name: dataclasses.replace(other, step=then.get(name)) for name, other in upstream.items()}
    params, records = _load(reads, at, mesh)
    check(run.path, records)
    return params


def _load(
    reads: Mapping[str, WeightRef], upstream: Mapping[str, Run], mesh: Mesh
) -> tuple[dict[str, Params], dict[str, dict[str, Any]]]:
    """The weights that a task reads of other runs, and what `record` writes of them."""
    params: dict[str, Params] = {}
    records: dict[str, dict[str, Any]] = {}
    for name, read in reads.items():
        other = upstream[read.run]
        params[name] = other.extra(mesh) if read.part == "extra" else other.load(read.specs, mesh, read.part)
        where = {"run": read.run, "path": str(other.path), "step": other.step}
        records[name] = {**where, "part": other.part, "digest": other.digest}
    return params, records


def record(run: RunDir, records: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes which weights a run read: {name: {"run", "path", "step", "part", "digest"}}. Raises ValueError when it was
    begun on others, which counts once it has saved something."""
    if restore.steps(run.checkpoints):
        check(run.path, records)
    # from here, so that the directories of a stack can be moved together
    moved = {name: {**read, "path": os.path.relpath(read["path"], run.path)} for name, read in records.items()}
    if jax.process_index() == 0:
        files.write_json(run.path / UPSTREAM, read_upstream(run.path) | moved)


def check(place: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises ValueError when a run was begun on other weights than these."""
    for name, old in read_upstream(place).items():
        if name in records and old["digest"] != records[name]["digest"]:
            raise ValueError(
                f"{place} was begun on other weights of {name} than {records[name]['path']} has now: of step"
                f" {old.get('step')}, with digest {old['digest']}, not of step {records[name]['step']} with"
                f" {records[name]['digest']}; bring the old weights back, or train in another directory"
            )


def digest_of(place: Path, part: str, own: str) -> str:
    """The digest of what `Run.load` gives of a part: its own, combined with LoRA with those of what it was begun on."""
    if part == "extra" or RunDir(place).config().get("lora") is None:
        return own
    return digest.combine({name: read["digest"] for name, read in read_upstream(place).items()} | {"": own})


def read_upstream(place: Path) -> dict[str, "Read"]:
    """What `load_upstream` recorded, by the task's name for it; nothing for a run that has not begun."""
    record = place / UPSTREAM
    reads: dict[str, Read] = files.read_json(record, dict[str, Read]) if record.exists() else {}
    for name, read in reads.items():
        if "\0" in read["path"]:
            raise NotReadable(f"{record}: the path of {short(name)} is not the name of a directory")
    return reads


def stale_upstream(place: Path) -> str | None:
    """What a run reads of another, by its task's name for it, if that is no longer what it was trained on."""

    @functools.cache  # a task may read the same weights to begin from and in every step
    def now(other: Path, part: str) -> str:
        return digest_of(other, part, restore.load_params(other / "checkpoints", subtree=part)[2])

    for name, old in read_upstream(place).items():
        if "part" in old and now(place / old["path"], old["part"]) != old["digest"]:
            return name
    return None
