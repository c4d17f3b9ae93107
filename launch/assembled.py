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
from gen.train import files
from gen.train.config import MAY_CHANGE, RunConfig
from gen.train.optim import optimizer
from gen.train.run_dir import RunDir
from launch import ancestry, catalog, feeds, labels, table, trained


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
    cfg = catalog.resolve(catalog.inherit(data, trained.config_of))
    mesh = meshes.make(cfg.mesh, jax.devices() if devices is None else devices)
    catalog.check_upstream(cfg, cfg.upstream)
    upstream = trained.open_upstream(cfg)
    tokenizer = feeds.find_tokenizer(cfg, parent.run if parent and not run.config_json.exists() else run, upstream)
    feeds.check_vocabulary(cfg, tokenizer)
    task = catalog.make(cfg, {name: other.cfg.model for name, other in upstream.items()}, feeds.ids_of(tokenizer))
    size = cfg.train.batch_size
    meshes.check_batch(size, cfg.train.accumulate, mesh, task.rows(size))
    feed = feeds.open_feed(cfg, task, tokenizer)
    for name, player in task.players.items():
        meshes.shardings(player.specs, mesh)
        optimizer(cfg.optim.of(name), player.specs, task.updates(name, cfg.train.steps))
    return Assembled(cfg, mesh, upstream, tokenizer, task, feed, parent)


def take(run: RunDir, made: Assembled) -> None:
    """Makes the directory this run's, with what its weights mean nothing without and, last, its config: a run that is
    killed before that is begun again by the same command."""
    complete = lambda old: config.to_dict(catalog.resolve(old))
    run.claim(config.to_dict(made.cfg), MAY_CHANGE, complete, before=lambda: keep(run, made))


def keep(run: RunDir, made: Assembled) -> None:
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
    for sentence in (*feeds.notes(made.cfg, made.feed, made.tokenizer), *started):
        note(sentence)
    for name, player in made.task.players.items():
        rich.print(table.parameters(f"{made.cfg.task.name}: {name}", player.specs, made.mesh))
