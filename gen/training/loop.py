"""The loop: every model of gen is trained by this function, which knows the Task protocol and no model.

The state is evaluated and saved as it was before step N, then step N is dispatched, and while it runs the metrics of
step N - 1 are read and written. A batch is a function of the step, so resuming needs nothing but the state. The row of
the evaluation after the last step closes a run. A run that rewinds goes on from an earlier state, with other batches.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jax.sharding import Mesh

from gen import exit_codes, flops, hardware, hosts
from gen import mesh as meshes
from gen.checkpoint import digest, restore
from gen.checkpoint.checkpointer import Checkpointer
from gen.checkpoint.restore import Warn
from gen.spec import Params
from gen.tasks.base import Task
from gen.training import damage, rates
from gen.training import state as states
from gen.training.compiled_step import Program
from gen.training.config import RunConfig
from gen.training.data_skips import DataSkips, Skip
from gen.training.display import Display
from gen.training.evaluation import Evaluation, HeldOut
from gen.training.global_batch import make_global_batch
from gen.training.log import Log
from gen.training.metrics import Metrics, rows
from gen.training.preempt import Preemption
from gen.training.run_dir import RunDir
from gen.training.state import State
from gen.training.trace import Trace


@runtime_checkable
class Batches(Protocol):
    """Global batches by position; asked for some rows it gives only those."""

    def batch(self, position: int, rows: np.ndarray) -> Mapping[str, np.ndarray]: ...


type Show = Callable[[int, Mapping[str, np.ndarray], Mapping[str, str]], str]


@dataclasses.dataclass(frozen=True)
class RunContext:
    """What a run is given beside its task and config.

    `origin` reads the weights that the task begins from, for a run that is new, and `branch(state, warn)` the step and
    state of another run at which this one branches off, None where it does not. `ahead` wraps a function of the
    position so that it reads ahead; `show` writes what is sampled, with the digest of each player's weights, and says
    where. `once` is the task with every product of its model computed once, whose FLOPs are those of MFU.
    """

    mesh: Mesh
    data: Batches
    held_out: HeldOut
    frozen: Mapping[str, Params]
    init_from: Callable[[], Mapping[str, Params]]
    branch: Callable[[State, Warn], tuple[int, State] | None]
    run: RunDir
    prefetch: Callable[[Callable[[int], Any]], contextlib.AbstractContextManager[Callable[[int], Any]]]
    write_samples: Show
    flops_task: Task


def train(task: Task, cfg: RunConfig, around: RunContext) -> int:
    """Trains from the newest intact checkpoint, or from nothing, to the last step; returns an exit status."""
    meshes.check_batch(cfg.train.batch_size, cfg.train.accumulate, around.mesh, task.rows(cfg.train.batch_size))
    with jax.set_mesh(around.mesh):
        return Trainer(task, cfg, around).run()


class Trainer:
    """One run, from where it is resumed. Whatever vmapped runs (vmapped_runs.py) do in another way is a method."""

    def __init__(self, task: Task, cfg: RunConfig, around: RunContext):
        self.task, self.cfg, self.around = task, cfg, around
        self.key = self.draw_key()
        self.program = self.program_of(task)
        self.display = Display(cfg.task.name, cfg.train.steps)
        self.evaluation = Evaluation(task, cfg, around.frozen, around.held_out, around.mesh)
        self.checkpoints = self.open_checkpoints(around.run)
        self.history = DataSkips(around.run.path)
        self.damage = damage.of(around.data, {})
        self.sealed: Mapping[str, Any] = {}  # what the checkpoint from which this goes on says of the log

    def run(self) -> int:
        cfg, steps = self.cfg, self.cfg.train.steps
        with self.checkpoints:
            start, state = self.begin()
            self.start = start
            self.record_start(start)
            self.count_damage(start)
            if start >= steps and self.is_closed():
                self.display.say(f"{cfg.task.name}: finished at step {start}")
                return exit_codes.DONE
            self.note_rates(start, state)
            with (
                Preemption() as preemption,
                self.open_log(start) as self.log,
                Trace(cfg.train.trace, self.around.run.path / "trace") as trace,
                self.display,
                self.around.prefetch(self.batch) as batches,
            ):
                self.log.check(self.sealed)
                step_fn = self.compile(state, batches(self.history.position(start)), start)
                now, stop = start, False
                while now < steps and not stop and not self.diverged():
                    if now and now % cfg.evals.every == 0:
                        self.evaluate(state)
                    trace.before(now, state)
                    position = self.history.position(now)
                    state, values = step_fn(state, self.around.frozen, batches(position), self.key)
                    self.log.stepped(now, values)
                    self.damage.stepped(position)
                    now += 1
                    stop = preemption.requested()
                    if stop or now == steps or self.checkpoints.due(now):
                        self.log.settle()  # no checkpoint knows of a step that the log does not, or of an outlier
                    if self.must_rewind() and not self.diverged():
                        del state, values  # two states need not fit
                        now, state = self.rewind()
                    elif now < steps and self.checkpoints.due(now):
                        self.save(now, state)
                self.save(now, state, force=True)
                self.checkpoints.wait()
                if stop:
                    return self.end(
                        exit_codes.PREEMPTED, f"{preemption.reason} at step {now}; state saved, run it again"
                    )
                if why := self.diverged():
                    return self.end(exit_codes.DIVERGED, f"{why}; stopped at step {now}, state kept")
                self.evaluate(state)
                return exit_codes.PREEMPTED if preemption.requested() else exit_codes.DONE

    def manifest(self) -> RunDir:
        """Where the launches are recorded."""
        return self.around.run

    def record_start(self, step: int) -> None:
        self.around.run.record_start(step)

    def count_damage(self, step: int) -> None:
        """Takes up the count of damaged records where the checkpoint of a step left it."""
        kept = step in restore.steps(self.checkpoints.directory)
        self.damage = damage.of(self.around.data, self.checkpoints.extra(step) if kept else {})

    def note_rates(self, start: int, state: State) -> None:
        """Says where the schedule is another than the one that led to this state."""
        made = {name: int(np.max(player.updates)) for name, player in state.players.items()}
        for sentence in rates.changes(self.task, self.cfg, self.manifest().launch_of(start - 1), start, made):
            self.display.say(f"note: {sentence}")

    def draw_key(self) -> jax.Array:
        return jax.random.key(self.cfg.seed)

    def program_of(self, task: Task) -> Program:
        return Program.of(task, self.cfg, self.around.mesh)

    def open_checkpoints(self, run: RunDir) -> Checkpointer:
        own = hosts.all_gather("identity", run.identity())[0]  # a file may look different from another host
        rule = dataclasses.asdict(self.cfg.checkpoint)
        return Checkpointer(run.checkpoints, **rule, warn=self.display.say, run=own)

    def open_log(self, start: int) -> Log:
        metrics = Metrics(self.around.run.metrics_jsonl, start)
        return Log(self.cfg, metrics, self.display, lambda: self.damage.metrics())

    def begin(self) -> tuple[int, State]:
        """The state: resumed if there is one, else another run's, else drawn; sharded from the start."""
        self.checkpoints.keep_only(lambda step, extra: self.history.knows(step, extra))
        if resumed := self.checkpoints.restore(self.program.state):
            self.display.say(f"{self.cfg.task.name}: resumed at step {resumed[0]} of {self.cfg.train.steps}")
            self.sealed = self.checkpoints.extra(resumed[0])
            return resumed
        return self.fresh()

    def fresh(self) -> tuple[int, State]:
        """The state of a run that has saved none."""
        if branched := self.around.branch(self.program.state, self.display.say):
            self.display.say(f"{self.cfg.task.name}: branched off at step {branched[0]}")
            step, state = branched
            extra = {"skips": self.history.before(step)}
            self.checkpoints.save(step, state, force=True, extra_json=extra)  # the other run need not keep it
            return branched
        return 0, self.program.begin(self.key, self.around.init_from())

    def is_closed(self) -> bool:
        """Whether the last evaluation is there."""
        logged = rows(self.around.run.metrics_jsonl)
        return hosts.all_gather("closed", any(row["step"] >= self.cfg.train.steps for row in logged))[0]

    def batch(self, position: int) -> Any:
        return make_global_batch(self.around.data.batch, position, self.cfg.train.batch_size, self.around.mesh)

    def compile(self, state: State, batch: Any, start: int) -> Callable[..., tuple[State, Mapping[str, jax.Array]]]:
        traced = self.program.step.trace(state, self.around.frozen, batch, self.key)
        peak = hardware.peak_flops(self.around.mesh.devices.flatten())
        counted = traced
        if peak:  # what is computed again is no use: MFU does not count it
            once = self.program_of(self.around.flops_task).step
            counted = once.trace(state, self.around.frozen, batch, self.key)
        self.display.begin(start, flops.of_program(counted.jaxpr).flops, peak)
        return traced.lower().compile()

    def evaluate(self, state: State) -> None:
        self.log.evaluated(int(state.step), *self.measure(state, self.evaluation, self.around.write_samples))

    def measure(self, state: State, evaluation: Evaluation, show: Show) -> tuple[dict[str, float], str]:
        """The metrics of a state on held-out data, and where its samples are."""
        seen = (states.weights(state), state.extra, state.step)
        shown = ""
        if samples := evaluation.samples(*seen, self.cfg.evals.samples):
            used = {name: digest.combine(digest.digests(own)) for name, own in states.weights(state).items()}
            shown = show(int(state.step), samples, used)
        measured = evaluation.metrics(*seen, self.cfg.evals.batches)
        return {**measured, **damage.held_out(self.around.held_out)}, shown

    def save(self, step: int, state: State, force: bool = False) -> None:
        extra = {"skips": self.history.before(step), **self.damage.extra(), **self.log.seal()}
        self.checkpoints.save(step, state, force=force, extra_json=extra)

    def diverged(self) -> str:
        """Why the run cannot go on, "" while it can."""
        limit, most = self.cfg.train.diverged_after, self.cfg.train.spikes.most
        if self.log.streak >= limit:
            return f"{self.log.streak} steps in a row not finite, or outliers"
        return f"another outlier after {most} rewinds" if self.must_rewind() and len(self.history.skips) >= most else ""

    def must_rewind(self) -> bool:
        return self.cfg.train.spikes.action == "rewind" and self.log.outlier is not None

    def rewind(self) -> tuple[int, State]:
        """Back to a checkpoint before the outlier; batches from there on are left out, the outlier's among them."""
        spike, cfg = self.log.outlier, self.cfg.train.spikes
        assert spike is not None
        at, state = self.checkpoints.restore(self.program.state, spike - cfg.back) or self.fresh()
        # recorded before anything is made of it: a run killed from here on is taken up with the new batches
        self.history.add(Skip(at, max(cfg.batches, spike + 1 - at), spike))
        if at < self.start:  # replay takes each step as the launch had it that trained it in the end
            self.start = at
            self.record_start(at)
        self.count_damage(at)
        self.log.rewind(at)
        self.checkpoints.keep_only(lambda step, _: step <= at)
        self.display.say(f"{self.cfg.task.name}: step {spike} is an outlier; back to step {at}, with other batches")
        return at, state

    def end(self, code: int, why: str) -> int:
        self.display.say(f"{self.cfg.task.name}: {why}")
        return code
