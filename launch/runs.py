"""A run, trained and measured: what launch/assembled.py puts together, handed to the loop."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gen import config, hosts
from gen import mesh as meshes
from gen.data.ahead import ReadAhead
from gen.data.classes import LabelledPipeline
from gen.evals.classification import classification
from gen.evals.fidelity import psnr
from gen.mesh import MeshConfig
from gen.messages import note
from gen.spec import Params
from gen.tasks.base import Task
from gen.tokenizers import Tokenizer
from gen.train import loop, manifest, restore
from gen.train.evaluation import Evaluation
from gen.train.run_dir import RunDir
from launch import ancestry, catalog, feeds, labels, places, remat, trained
from launch.assembled import Assembled, assemble, describe, take

READ_AHEAD = 2


def with_overrides(data: Mapping[str, Any], overrides: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The config with each --config.KEY=VALUE in place, or a value that is data already."""
    for key, value in overrides:
        data = config.override(data, key, value)
    return dict(data)


def train(data: Mapping[str, Any], workdir: str | Path, branch: str | None = None) -> int:
    """Trains one run, from its config as data; returns an exit status. `branch`, DIR or DIR@STEP, is a checkpoint of
    another run at which it begins.

    Raises ValueError in a sentence for everything that the user can mend.
    """
    run = RunDir(Path(workdir))
    made, held_out = hosts.first(lambda: prepared(data, run, branch))
    # the directory is taken only now: a mistake up to here leaves nothing behind that the mended command must fit
    moved = hosts.first(lambda: take(run, made))
    try:
        return train_here(made, held_out, run, moved)
    finally:
        run.release()


def prepared(data: Mapping[str, Any], run: RunDir, branch: str | None) -> tuple[Assembled, Any]:
    """A run put together, and its held-out data; what has to be encoded or learned first is then there for others."""
    made = assemble(data, run, ancestry.find(run, branch))
    return made, made.feed.evaluate(made.cfg.train.batch_size)


def train_here(made: Assembled, held_out: Any, run: RunDir, moved: Mapping[str, Any]) -> int:
    """Trains in a directory that has been taken; `moved` are the places of data that are others than before."""
    cfg, mesh, task = made.cfg, made.mesh, made.task
    check_same(made)
    frozen = trained.load_upstream(task.frozen, made.upstream, mesh, run)
    entry = launch_entry(made) | ({"moved": dict(moved)} if moved else {})
    if jax.process_index() == 0:
        note_changes(run, entry)
        run.record_launch(entry)
        describe(made)
    around = surroundings(made, held_out, frozen, run)
    try:
        code = loop.train(task, cfg, around)
        run.record_end(code)
        return code
    finally:
        report_damage(around.data, "training")
        report_damage(held_out, "held-out")


def surroundings(made: Assembled, held_out: Any, frozen: Mapping[str, Params], run: RunDir) -> loop.Surroundings:
    """What the loop is given beside task and config, with the weights of other runs that it reads in every step."""
    return loop.Surroundings(
        mesh=made.mesh,
        data=made.feed.train(made.cfg.train.batch_size),
        held_out=held_out,
        frozen=frozen,
        origin=lambda: trained.load_upstream(made.task.origin, made.upstream, made.mesh, run),
        branch=made.parent.state if made.parent else lambda *_: None,
        run=run,
        ahead=lambda read: ReadAhead(read, READ_AHEAD),
        show=shower(made, run),
        once=once(made),
    )


def shower(made: Assembled, run: RunDir) -> loop.Show:
    """What writes the samples of a run."""
    record = {"samples": made.cfg.evals.samples, "made_with": manifest.surroundings(dict(made.mesh.shape))}
    return feeds.shower(run.samples, made.tokenizer, record)


def once(made: Assembled) -> Task:
    """The run's task with every product of its model computed once."""
    return catalog.make(remat.once(made.cfg), made.models, feeds.ids_of(made.tokenizer))


def launch_entry(made: Assembled) -> dict[str, Any]:
    """The manifest's entry of a launch."""
    shape, cfg = dict(made.mesh.shape), config.to_dict(made.cfg)
    return manifest.launch(shape, cfg, made.feed.fingerprint, made.feed.fingerprints, made.settings)


def note_changes(run: RunDir, now: Mapping[str, Any]) -> None:
    """Notes what a resumed run can no longer promise, compared with the launch that trained its last saved step."""
    before = run.launch_of(max(restore.steps(run.checkpoints), default=0) - 1)
    if not before:
        return
    if changed := manifest.changed(before, now):
        note(f"since the last launch {'; '.join(changed)}: batches and noise stay the same, but from here on")
        note("this run need no longer equal, bit for bit, one that was never stopped")
    note_data(before, now)


def note_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Says which data is not what it was."""
    if changed := manifest.data_changed(before, now):
        note(f"the data has changed since the run was last trained: {'; '.join(changed)}")


def check_same(made: Assembled) -> None:
    """Raises ValueError where processes read other data, or with another tokenizer, than the first."""
    tokenizer = "" if made.tokenizer is None else made.tokenizer.fingerprint
    seen = hosts.gather("data", [feeds.fingerprints(made.feed), tokenizer])
    for process, (data, words) in enumerate(seen):
        if [data, words] != seen[0]:
            what = "data" if data != seen[0][0] else "tokenizer"
            raise ValueError(f"process {process} reads other {what} than process 0; give all hosts the same files")


def report_damage(records: Any, which: str) -> None:
    """Counts damaged files that gave way to others, where there can be any: a text is prepared before it is read."""
    damage = getattr(records, "damage", None)
    if damage is not None and damage.named:
        note(f"of the {which} data {damage.summary()}")


def check_data(run: trained.Run, feed: feeds.Feed, tokenizer: Tokenizer | None) -> None:
    """Says what of the data of a run is not what it was last trained on, and what of it is left out. Raises ValueError
    where other data is given for it."""
    recorded, now = RunDir(run.path), feeds.fingerprints(feed)
    places.check(recorded, now, tokenizer, places.moved(recorded.config(), config.to_dict(run.cfg)))
    for before in recorded.launches()[-1:]:
        note_data(before, {"fingerprints": now})
    for sentence in feeds.notes(run.cfg, feed, tokenizer):
        note(sentence)


def task_name(place: Path) -> str | None:
    """The task of a run, or None where a stage of a stack trains nothing."""
    return RunDir(place).config().get("task", {}).get("name")


def evaluate(place: Path, pictures: int, moved: Sequence[tuple[str, Any]] = ()) -> dict[str, Any]:
    """{"step", "digest", "metrics"} of a trained run on all of its held-out data.

    Where the task makes pictures, "psnr/NAME" is the mean peak signal-to-noise ratio of `pictures` of them against the
    real ones. Of a classifier there is "classification" as well: gen.evals.classification's result. `moved` are places
    of its config's that are others now; raises ValueError where what is there is other data.
    """
    run = trained.Run.open(place, moved=moved)
    cfg, mesh = run.cfg, meshes.make(MeshConfig(), jax.devices())  # not where it was trained, but what is here
    meshes.check_batch(cfg.train.batch_size, 1, mesh)
    tokenizer = run.tokenizer() if run.reads_text else None
    task = catalog.plain(cfg, run.models, run.ids)  # its weights are merged as they are loaded
    frozen = trained.load_to_read(task.frozen, run, mesh)
    with places.hinted(config.to_dict(cfg)):
        feed = feeds.open_feed(cfg, task, tokenizer)
        held_out = feed.evaluate(cfg.train.batch_size)
    check_data(run, feed, tokenizer)
    if isinstance(feed, LabelledPipeline):
        labels.check(place, feed.labels)
    extra = run.extra(mesh) if task.extra else {}
    weights = {name: run.load(player.specs, mesh, name) for name, player in task.players.items()}
    with jax.set_mesh(mesh):
        evaluation = Evaluation(task, cfg, frozen, held_out, mesh)
        seen = (weights, extra, np.int32(run.step or 0))
        totals = evaluation.totals(*seen, batches=len(held_out))
        metrics = evaluation.means(totals)
        drawn = evaluation.samples(*seen, count=pictures if "image" in task.batch(1) else 0)
    report_damage(held_out, "held-out")
    real = drawn.pop("real", None)
    metrics |= {f"psnr/{name}": float(psnr(x, real).mean()) for name, x in drawn.items() if real is not None}
    results = {"step": run.step, "digest": run.digest, "metrics": metrics}
    if isinstance(feed, LabelledPipeline):
        results["classification"] = classification(np.asarray(totals["_confusion"].total), feed.labels)
    return results
