"""Trials that differ in learning rate, weight decay and seed alone, trained as one program (gen.training.vmapped_runs).

Each becomes the run directory that its own command would have made, with its last checkpoint. Until then the state of
all is in WORKDIR/packs/ID, from which the same command goes on. All is on this machine's first device.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import rich
from jax.sharding import NamedSharding, PartitionSpec

from gen import config, exit_codes, files
from gen import mesh as meshes
from gen.plan import plan, report, topology
from gen.runs import registry
from gen.runs import train as runs
from gen.runs.build import BuiltRun, build_run, take
from gen.runs.recipe import described
from gen.sweep.packs import MEMBERS, Trials, remove
from gen.sweep.sweep_dir import Sweep
from gen.training import vmapped_runs as packs
from gen.training.compiled_step import abstract_batch, abstract_on
from gen.training.run_dir import RunDir
from gen.training.vmapped_runs import Member


def run(sweep: Sweep, due: Sequence[Trials], tell: Callable[[str, int], None]) -> bool:
    """Trains each pack; returns whether a signal came first."""
    return any(PackedTrials(sweep, trials).train(tell) == exit_codes.PREEMPTED for trials in due)


def check_fits(datas: Sequence[Mapping[str, Any]]) -> None:
    """Raises ValueError where the step of a pack of these configs needs more memory than this machine's first device
    has."""
    (one,) = described(datas[0]).values()
    task, cfgs = one.task(), [registry.resolve(data) for data in datas]
    mesh = meshes.make(one.cfg.mesh, jax.local_devices()[:1])
    with jax.set_mesh(mesh):
        program, whole = packs.program(task, cfgs, mesh), NamedSharding(mesh, PartitionSpec())
        key = abstract_on(jax.eval_shape(lambda: packs.keys(cfgs)), whole)
        batch = abstract_batch(task, one.cfg.train.batch_size, mesh)
        made = plan.of(program.step, (program.state, {}, batch, key), {"state": program.state}, topology.here())
    if made.fits is False:
        raise ValueError(
            f"a pack of {len(datas)} trials does not fit: {report.needs(made)} on a device; give fewer, --at_most"
        )


class PackedTrials:
    """Some trials of a sweep as one run."""

    def __init__(self, sweep: Sweep, trials: Trials):
        self.sweep, self.trials = sweep._replace(trials=trials), trials
        # whose end is known, of a pack that was killed while it was taken apart, or asked for by nobody any more
        self.told = trials.keys() - sweep.trials.keys()
        name = hashlib.sha256(" ".join(trials).encode()).hexdigest()[:8]
        self.own = RunDir(sweep.path / "packs" / name)

    def train(self, tell: Callable[[str, int], None]) -> int:
        first, *others = (self.sweep.data(trial) for trial in self.trials)
        made = build_run(first, self.own, devices=jax.local_devices()[:1])
        held_out = made.feed.evaluate(made.cfg.train.batch_size)
        mades = [made, *(dataclasses.replace(made, cfg=registry.resolve(other)) for other in others)]
        self.own.make()
        files.write_json(self.own.path / MEMBERS, {"trials": self.trials})
        self.own.identify({trial: config.to_dict(one.cfg) for trial, one in zip(self.trials, mades, strict=True)})
        members = [self.member(trial, one) for trial, one in zip(self.trials, mades, strict=True)]
        around = runs.surroundings(made, held_out, {}, self.own)
        rich.print(f"{len(members)} trials as one program")
        try:
            code = packs.train(made.task, members, around)
            if code == exit_codes.PREEMPTED:
                return code
            endings = packs.unpack(made.task, members, around)
            for trial, member, ended in zip(self.trials, members, endings, strict=True):
                member.run.record_end(ended)
                if trial not in self.told:
                    tell(trial, ended)
        finally:
            for member in members:
                member.run.release()
        remove(self.own.path)
        return code

    def member(self, trial: str, made: BuiltRun) -> Member:
        run = RunDir(self.sweep.place(trial))
        take(run, made)
        if any("status" in launch for launch in run.launches()[-1:]):
            self.told.add(trial)
        run.record_launch({**runs.launch_entry(made), "pack": len(self.trials)})
        return Member(made.cfg, run, runs.shower(made, run))
