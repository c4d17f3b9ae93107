"""One run put together: config, mesh, tokenizer, data and task, each checked against the others.

made = assemble(data, RunDir(workdir))      # nothing is written yet
take(run, made)                             # the directory is this run's
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import rich

from gen import config
from gen import mesh as meshes
from gen.data.classes import LabelledPipeline
from gen.messages import note
from gen.tasks.base import Task
from gen.tokenizers import Tokenizer
from gen.train import files, history, legacy
from gen.train.config import RunConfig
from gen.train.run_dir import RunDir
from gen.train.state import check_optimizers
from launch import ancestry, catalog, feeds, labels, places, table, trained

# of a run directory, what is written before its config
BEFORE_CONFIG = (ancestry.ANCESTRY, history.SKIPS, labels.LABELS, trained.TOKENIZER, trained.UPSTREAM)


@dataclasses.dataclass(frozen=True)
class Assembled:
    """What a run is made of, put together and checked before anything of it is written."""

    cfg: RunConfig
    mesh: jax.sharding.Mesh
    upstream: Mapping[str, trained.Run]
    tokenizer: Tokenizer | None
    task: Task
    feed: feeds.Feed
    parent: ancestry.Parent | None

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of task and data with which the run may be resumed, in their places."""
        keys = [key for key in config.resumable_keys(self.cfg) if key.startswith(("task.", "data."))]
        return config.only(config.to_dict(self.cfg), keys)

    @property
    def models(self) -> dict[str, Any]:
        """The model configs of the runs that this one reads."""
        return {name: other.cfg.model for name, other in self.upstream.items()}


def assemble(
    data: Mapping[str, Any],
    run: RunDir,
    parent: ancestry.Parent | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> Assembled:
    """Raises ValueError in a sentence where its parts do not fit each other or this machine. `parent` is what the run
    branches off; `devices` are all there are where they are not said."""
    cfg = resolved(data, run if run.config_json.exists() or parent is None else parent.run)
    mesh = meshes.make(cfg.mesh, jax.devices() if devices is None else devices)
    catalog.check_upstream(cfg, cfg.upstream)
    upstream = trained.open_upstream(cfg)
    tokenizer = feeds.find_tokenizer(cfg, parent.run if parent and not run.config_json.exists() else run, upstream)
    feeds.check_vocabulary(cfg, tokenizer)
    task = catalog.make(cfg, {name: other.cfg.model for name, other in upstream.items()}, feeds.ids_of(tokenizer))
    size = cfg.train.batch_size
    meshes.check_batch(size, cfg.train.accumulate, mesh, task.rows(size))
    feed = feeds.open_feed(cfg, task, tokenizer)
    for player in task.players.values():
        meshes.shardings(player.specs, mesh)
    check_optimizers(cfg.optim, task, cfg.train.steps)
    if not run.config_json.exists():  # one that was begun all the same can go on
        catalog.check_used(cfg, task)
    return Assembled(cfg, mesh, upstream, tokenizer, task, feed, parent)


def resolved(data: Mapping[str, Any], begun: RunDir) -> RunConfig:
    """The config of a run that goes on from what is in a directory, if there is a run: by the rules by which its data
    was split, where `data` does not say, so that nothing held out is trained on."""
    data = catalog.inherit(data, trained.config_of)
    cfg = catalog.resolve(data)
    if not begun.config_json.exists():
        return cfg
    return catalog.resolve(config.merge(data, legacy.taken_over(data, config.to_dict(cfg), begun.config())))


def take(run: RunDir, made: Assembled) -> dict[str, list[Any]]:
    """Makes the directory this run's, with what its weights mean nothing without and, last, its config: a run that is
    killed before that is begun again by the same command. Returns the places of data that are others than before.

    Raises ValueError where what is there is other data as well.
    """
    now, keys = config.to_dict(made.cfg), config.resumable_keys(made.cfg)
    # with the new values of what may change: the old ones may be what had to be corrected
    complete = lambda old: config.to_dict(catalog.resolve(config.merge(old, config.only(now, keys))))
    moved = places.moved(complete(run.config()), now) if run.config_json.exists() else {}
    places.check(run, feeds.fingerprints(made.feed), made.tokenizer, moved)
    run.claim(now, (*keys, *moved), complete, before=lambda: keep(run, made))
    return moved


def keep(run: RunDir, made: Assembled) -> None:
    """Writes what a config stands for. Of a directory without a config nothing is believed: what is there was left by a
    command that failed, and goes first."""
    if not run.config_json.exists():
        with files.writing(run.path):
            for name in BEFORE_CONFIG:
                (run.path / name).unlink(missing_ok=True)
    if made.parent is not None:
        ancestry.record(run, made.parent, config.to_dict(made.cfg))
    if isinstance(made.feed, LabelledPipeline):
        labels.keep(run.path, made.feed.labels)
    if made.tokenizer is not None:
        with files.replacing(run.path / trained.TOKENIZER) as partial:
            made.tokenizer.save(partial)


def describe(made: Assembled) -> None:
    """What the user should know before the first step: what the data leaves out, and where parameters lie."""
    started = catalog.started_otherwise(made.cfg, made.models)
    unused, short = catalog.unused(made.cfg, made.task), warming(made.cfg, made.task)
    for line in (*feeds.notes(made.cfg, made.feed, made.tokenizer), *started, *unused, *short):
        note(line)
    for name, player in made.task.players.items():
        rich.print(table.parameters(f"{made.cfg.task.name}: {name}", player.specs, made.mesh))


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
