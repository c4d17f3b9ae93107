"""A run, trained and measured: what gen/runs/build.py puts together, handed to the loop."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from gen import config, hosts
from gen.checkpoint import restore
from gen.data.prefetch import Prefetcher
from gen.messages import note
from gen.runs import branch as ancestry
from gen.runs import inputs, reader, registry, remat, shown_samples
from gen.runs.build import BuiltRun, build_run, describe, take
from gen.runs.evaluate import note_data, report_damage
from gen.spec import Params
from gen.tasks.base import Task
from gen.training import loop, manifest
from gen.training.run_dir import RunDir

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
    made, held_out = hosts.process_0_first(lambda: prepared(data, run, branch))
    # the directory is taken only now: a mistake up to here leaves nothing behind that the mended command must fit
    moved = hosts.process_0_first(lambda: take(run, made))
    try:
        return train_here(made, held_out, run, moved)
    finally:
        run.release()


def prepared(data: Mapping[str, Any], run: RunDir, branch: str | None) -> tuple[BuiltRun, Any]:
    """A run put together, and its held-out data; what has to be encoded or learned first is then there for others."""
    made = build_run(data, run, ancestry.find(run, branch))
    return made, made.feed.evaluate(made.cfg.train.batch_size)


def train_here(made: BuiltRun, held_out: Any, run: RunDir, moved: Mapping[str, Any]) -> int:
    """Trains in a directory that has been taken; `moved` are the places of data that are others than before."""
    cfg, mesh, task = made.cfg, made.mesh, made.task
    check_same(made)
    frozen = reader.load_upstream(task.frozen, made.upstream, mesh, run)
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


def surroundings(made: BuiltRun, held_out: Any, frozen: Mapping[str, Params], run: RunDir) -> loop.RunContext:
    """What the loop is given beside task and config, with the weights of other runs that it reads in every step."""
    return loop.RunContext(
        mesh=made.mesh,
        data=made.feed.train(made.cfg.train.batch_size),
        held_out=held_out,
        frozen=frozen,
        init_from=lambda: reader.load_upstream(made.task.origin, made.upstream, made.mesh, run),
        branch=made.parent.state if made.parent else lambda *_: None,
        run=run,
        prefetch=lambda read: Prefetcher(read, READ_AHEAD),
        write_samples=shower(made, run),
        flops_task=once(made),
    )


def shower(made: BuiltRun, run: RunDir) -> loop.Show:
    """What writes the samples of a run."""
    record = {"samples": made.cfg.evals.samples, "made_with": manifest.surroundings(dict(made.mesh.shape))}
    return shown_samples.shower(run.samples, made.tokenizer, record)


def once(made: BuiltRun) -> Task:
    """The run's task with every product of its model computed once."""
    return registry.make(remat.once(made.cfg), made.models, inputs.ids_of(made.tokenizer))


def launch_entry(made: BuiltRun) -> dict[str, Any]:
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


def check_same(made: BuiltRun) -> None:
    """Raises ValueError where processes read other data, or with another tokenizer, than the first."""
    tokenizer = "" if made.tokenizer is None else made.tokenizer.fingerprint
    seen = hosts.all_gather("data", [inputs.fingerprints(made.feed), tokenizer])
    for process, (data, words) in enumerate(seen):
        if [data, words] != seen[0]:
            what = "data" if data != seen[0][0] else "tokenizer"
            raise ValueError(f"process {process} reads other {what} than process 0; give all hosts the same files")
