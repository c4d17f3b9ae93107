"""The loop: every model of gen is trained by this function, which knows the Task protocol and no model.

The state is evaluated and saved as it was before step N, then step N is dispatched, and while it runs the metrics of
step N - 1 are read and written. A batch is a function of the step, so resuming needs nothing but the state. The row of
the evaluation after the last step closes a run.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jax.sharding import Mesh

from gen import chips, flops, hosts, status
from gen import mesh as meshes
from gen.spec import Params
from gen.tasks.base import Task
from gen.train import state as states
from gen.train.checkpoint import Checkpointer
from gen.train.config import RunConfig
from gen.train.display import Display
from gen.train.evaluation import Evaluation, HeldOut
from gen.train.feed import place
from gen.train.log import Log
from gen.train.metrics import Metrics, read
from gen.train.preempt import Preemption
from gen.train.program import Program
from gen.train.run_dir import RunDir
from gen.train.state import State
from gen.train.trace import Trace


@runtime_checkable
class Batches(Protocol):
    """Global batches by position; asked for some rows it gives only those."""

    def batch(self, position: int, rows: np.ndarray) -> Mapping[str, np.ndarray]: ...


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What a run is given beside its task and config.

    `origin` reads the weights that the task begins from, for a run that is new. `ahead` wraps a function of the
    position so that it reads ahead; `show` writes what is sampled and says where.
    """

    mesh: Mesh
    data: Batches
    held_out: HeldOut
    frozen: Mapping[str, Params]
    origin: Callable[[], Mapping[str, Params]]
    run: RunDir
    ahead: Callable[[Callable[[int], Any]], contextlib.AbstractContextManager[Callable[[int], Any]]]
    show: Callable[[int, Mapping[str, np.ndarray]], str]


def train(task: Task, cfg: RunConfig, around: Surroundings) -> int:
    """Trains from the newest intact checkpoint, or from nothing, to the last step; returns an exit status."""
    with jax.set_mesh(around.mesh):
        return _train(task, cfg, around)


def _train(task: Task, cfg: RunConfig, around: Surroundings) -> int:
    key, size, steps = jax.random.key(cfg.seed), cfg.train.batch_size, cfg.train.steps
    meshes.check_batch(size, cfg.train.accumulate, around.mesh, task.rows(size))

    # ---- the state: resumed if there is one, else drawn, sharded from the start
    program = Program.of(task, cfg, around.mesh)
    every, keep, keep_every = dataclasses.astuple(cfg.checkpoint)
    display = Display(cfg.task.name, steps)
    checkpoints = Checkpointer(around.run.checkpoints, every=every, keep=keep, keep_every=keep_every, warn=display.say)
    resumed = checkpoints.restore(program.state)
    start, state = resumed if resumed else (0, program.begin(key, around.origin()))
    closed = any(row["step"] >= steps for row in read(around.run.metrics_jsonl))
    if start >= steps and hosts.gather("closed", closed)[0]:
        display.say(f"{cfg.task.name}: finished at step {start}")
        checkpoints.close()
        return status.DONE
    if start:
        display.say(f"{cfg.task.name}: resumed at step {start} of {steps}")

    # ---- what is measured
    evaluation = Evaluation(task, cfg, around.frozen, around.held_out, around.mesh)

    def evaluate(state: State) -> None:
        seen = (states.weights(state), state.extra, state.step)
        samples = evaluation.samples(*seen, cfg.evals.samples)
        shown = around.show(int(state.step), samples) if samples else ""
        log.evaluated(int(state.step), evaluation.metrics(*seen, cfg.evals.batches), shown)

    # ---- the loop
    batch_at = lambda position: place(around.data.batch, position, size, around.mesh)
    with (
        Preemption() as preemption,
        Metrics(around.run.metrics_jsonl, start) as metrics,
        Trace(cfg.train.trace, around.run.path / "trace") as trace,
        display,
        around.ahead(batch_at) as batches,
        contextlib.closing(checkpoints),
    ):
        log = Log(cfg, metrics, display)
        traced = program.step.trace(state, around.frozen, batches(start), key)
        display.begin(start, flops.of_program(traced.jaxpr).flops, chips.peak_flops(around.mesh.devices.flatten()))
        step_fn = traced.lower().compile()
        stop = False
        for now in range(start, steps):
            if now and now % cfg.evals.every == 0:
                evaluate(state)
            trace.before(now, state)
            state, values = step_fn(state, around.frozen, batches(now), key)
            log.stepped(now, values)
            if now + 1 < steps and checkpoints.due(now + 1):
                log.settle()  # so that no checkpoint knows of a step that the log does not
                checkpoints.save(now + 1, state)
            stop = preemption.requested()
            if stop or log.streak >= cfg.train.nonfinite_limit:
                break
        log.settle()
        done = int(state.step)
        checkpoints.save(done, state, force=True)
        if stop:
            display.say(f"{cfg.task.name}: {preemption.reason} at step {done}; state saved, run the same command again")
            return status.PREEMPTED
        if log.streak >= cfg.train.nonfinite_limit:
            display.say(f"{cfg.task.name}: {log.streak} steps in a row not finite; stopped at step {done}, state kept")
            return status.DIVERGED
        evaluate(state)
        return status.PREEMPTED if preemption.requested() else status.DONE
