"""One run put together: config, mesh, tokenizer, data and task, each checked against the others.

made = assemble(data, RunDir(workdir))      # nothing is written yet
take(run, made)                             # the directory is this run's
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import rich

from gen import config, files
from gen import mesh as meshes
from gen.messages import note
from gen.runs import branch, class_names, data_paths, inputs, overview, reader, registry
from gen.tasks.base import Task
from gen.tokenizers import Tokenizer
from gen.training import data_skips, legacy
from gen.training.config import RunConfig
from gen.training.run_dir import RunDir
from gen.training.state import check_optimizers

# of a run directory, what is written before its config
BEFORE_CONFIG = (branch.ANCESTRY, data_skips.SKIPS, class_names.LABELS, reader.TOKENIZER, reader.UPSTREAM)


@dataclasses.dataclass(frozen=True)
class BuiltRun:
    """What a run is made of, put together and checked before anything of it is written."""

    cfg: RunConfig
    mesh: jax.sharding.Mesh
    upstream: Mapping[str, reader.Run]
    tokenizer: Tokenizer | None
    task: Task
    feed: inputs.Feed
    parent: branch.Parent | None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of task and data with which the run may be resumed, in their places."""
        keys = [key for key in config.resumable_keys(self.cfg) if key.startswith(("task.", "data."))]
        return config.only(config.to_dict(self.cfg), keys)

    @property
    def models(self) -> dict[str, Any]:
        """The model configs of the runs that this one reads."""
        return {name: other.cfg.model for name, other in self.upstream.items()}


def build_run(
    data: Mapping[str, Any],
    run: RunDir,
    parent: branch.Parent | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> BuiltRun:
    """Raises ValueError in a sentence where its parts do not fit each other or this machine. `parent` is what the run
    branches off; `devices` are all there are where they are not said."""
    cfg = resolved(data, run if run.config_json.exists() or parent is None else parent.run)
    mesh = meshes.make(cfg.mesh, jax.devices() if devices is None else devices)
    registry.check_upstream(cfg, cfg.upstream)
    upstream = reader.open_upstream(cfg)
    tokenizer = inputs.find_tokenizer(cfg, parent.run if parent and not run.config_json.exists() else run, upstream)
    inputs.check_vocabulary(cfg, tokenizer)
    task = registry.make(cfg, {name: other.cfg.model for name, other in upstream.items()}, inputs.ids_of(tokenizer))
    size = cfg.train.batch_size
    meshes.check_batch(size, cfg.train.accumulate, mesh, task.rows(size))
    feed = inputs.open_feed(cfg, task, tokenizer)
    for player in task.players.values():
        meshes.shardings(player.specs, mesh)
    check_optimizers(cfg.optim, task, cfg.train.steps)
    if not run.config_json.exists():  # one that was begun all the same can go on
        registry.check_used(cfg, task)
    return BuiltRun(cfg, mesh, upstream, tokenizer, task, feed, parent)


def resolved(data: Mapping[str, Any], begun: RunDir) -> RunConfig:
    """The config of a run that goes on from what is in a directory, if there is a run: by the rules by which its data
    was split, where `data` does not say, so that nothing held out is trained on."""
    data = registry.inherit(data, reader.config_of)
    cfg = registry.resolve(data)
    if not begun.config_json.exists():
        return cfg
    return registry.resolve(config.merge(data, legacy.taken_over(data, config.to_dict(cfg), begun.config())))


def take(run: RunDir, made: BuiltRun) -> dict[str, list[Any]]:
    """Makes the directory this run's, with what its weights mean nothing without and, last, its config: a run that is
    killed before that is begun again by the same command. Returns the places of data that are others than before.

    Raises ValueError where what is there is other data as well.
    """
    now, keys = config.to_dict(made.cfg), config.resumable_keys(made.cfg)
    # with the new values of what may change: the old ones may be what had to be corrected
    complete = lambda old: config.to_dict(registry.resolve(config.merge(old, config.only(now, keys))))
    moved = data_paths.moved(complete(run.config()), now) if run.config_json.exists() else {}
    data_paths.check(run, inputs.fingerprints(made.feed), made.tokenizer, moved)
    run.claim(now, (*keys, *moved), complete, before=lambda: keep(run, made))
    return moved


def keep(run: RunDir, made: BuiltRun) -> None:
    """Writes what a config stands for. Of a directory without a config nothing is believed: what is there was left by a
    command that failed, and goes first."""
    if not run.config_json.exists():
        with files.writing(run.path):
            for name in BEFORE_CONFIG:
                (run.path / name).unlink(missing_ok=True)
    if made.parent is not None:
        branch.record(run, made.parent, config.to_dict(made.cfg))
    if made.feed.labels:
        class_names.keep(run.path, made.feed.labels)
    if made.tokenizer is not None:
        with files.replacing(run.path / reader.TOKENIZER) as partial:
            made.tokenizer.save(partial)


def describe(made: BuiltRun) -> None:
    """What the user should know before the first step: what the data leaves out, and where parameters lie."""
    started = registry.started_otherwise(made.cfg, made.models)
    unused, short = registry.unused(made.cfg, made.task), warming(made.cfg, made.task)
    for line in (*inputs.notes(made.cfg, made.feed, made.tokenizer), *started, *unused, *short):
        note(line)
    for name, player in made.task.players.items():
        rich.print(overview.parameters(f"{made.cfg.task.name}: {name}", player.specs, made.mesh))


def warming(cfg: RunConfig, task: Task) -> list[str]:
    """Says of players whose learning rate is still rising as the run ends that it never gets to its peak."""
    found = []
    for name in task.players:
        optim, updates = cfg.optim.of(name), task.updates(name, cfg.train.steps)
        if optim.warmup >= updates:
            where = f"optim.players.{name}" if "warmup" in cfg.optim.players.get(name, {}) else "optim"
            found.append(
                f"{where}.warmup={optim.warmup} is as long as all {updates} updates: lr={optim.lr} is not reached"
            )
    return found
