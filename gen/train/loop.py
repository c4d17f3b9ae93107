"""The loop: every model of gen is trained by this function, which knows the Task protocol and no model.

The state is evaluated and saved as it was before step N, then step N is dispatched, and while it runs the metrics of
step N - 1 are read and written. A batch is a function of the step, so resuming needs nothing but the state. The row of
the evaluation after the last step closes a run.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jax.sharding import Mesh

from gen import mesh as meshes
from gen import rng
from gen.spec import Params
from gen.tasks.base import Context, Mean, Task
from gen.train import state as states
from gen.train import status, step
from gen.train.checkpoint import Checkpointer
from gen.train.config import RunConfig
from gen.train.display import Display
from gen.train.feed import place
from gen.train.metrics import Metrics, read
from gen.train.preempt import Preemption
from gen.train.run_dir import RunDir
from gen.train.state import State
from gen.train.trace import Trace


@runtime_checkable
class Batches(Protocol):
    """Global batches by position; asked for some rows it gives only those."""

    def batch(self, position: int, rows: np.ndarray) -> Mapping[str, np.ndarray]: ...


@runtime_checkable
class HeldOut(Batches, Protocol):
    """A split in order; its batches carry a `weight` for each row."""

    def __len__(self) -> int: ...


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What a run is given beside its task and config.

    `ahead` wraps a function of the position so that it reads ahead; `show` writes a grid of pictures.
    """

    mesh: Mesh
    data: Batches
    held_out: HeldOut
    frozen: Mapping[str, Params]
    run: RunDir
    ahead: Callable[[Callable[[int], Any]], contextlib.AbstractContextManager[Callable[[int], Any]]]
    show: Callable[[int, Mapping[str, np.ndarray]], str]


def train(task: Task, cfg: RunConfig, around: Surroundings) -> int:
    """Trains from the newest intact checkpoint, or from nothing, to the last step; returns an exit status."""
    with jax.set_mesh(around.mesh):
        return _train(task, cfg, around)


def _train(task: Task, cfg: RunConfig, around: Surroundings) -> int:
    key, size, steps = jax.random.key(cfg.seed), cfg.train.batch_size, cfg.train.steps
    meshes.check_batch(size, cfg.train.accumulate, around.mesh)

    # ---- the state: resumed if there is one, else drawn, sharded from the start
    init = lambda key: states.init(task, cfg.optim, steps, key)
    shapes = jax.eval_shape(init, key)
    placed = states.shardings(task, shapes, around.mesh)
    abstract = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, placed)
    every, keep, keep_every = dataclasses.astuple(cfg.checkpoint)
    display = Display(cfg.task.name, steps, 0)
    checkpoints = Checkpointer(around.run.checkpoints, every=every, keep=keep, keep_every=keep_every, warn=display.say)
    resumed = checkpoints.restore(abstract)
    start, state = resumed if resumed else (0, jax.jit(init, out_shardings=placed)(key))
    if start >= steps and any(row["step"] >= steps for row in read(around.run.metrics_jsonl)):
        display.say(f"{cfg.task.name}: finished at step {start}")
        checkpoints.close()
        return status.DONE
    if start:
        display.say(f"{cfg.task.name}: resumed at step {start} of {steps}")

    # ---- the two programs
    step_fn = jax.jit(
        step.make(task, cfg.optim, steps, cfg.train.accumulate), donate_argnums=0, out_shardings=(placed, None)
    )
    measure = Evaluation(task, cfg, around, key)

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
        display.start = start
        for now in range(start, steps):
            if now and now % cfg.evals.every == 0:
                log.evaluated(now, measure(state), measure.pictures(state))
            trace.before(now, state)
            state, values = step_fn(state, around.frozen, batches(now), key)
            log.stepped(now, values)
            if now + 1 < steps:
                checkpoints.save(now + 1, state)
            if preemption.requested or log.streak >= cfg.train.nonfinite_limit:
                break
        log.settle()
        done = int(state.step)
        checkpoints.save(done, state, force=True)
        if preemption.requested:
            display.say(f"{cfg.task.name}: {preemption.reason} at step {done}; state saved, run the same command again")
            return status.PREEMPTED
        if log.streak >= cfg.train.nonfinite_limit:
            display.say(f"{cfg.task.name}: {log.streak} steps in a row not finite; stopped at step {done}, state kept")
            return status.DIVERGED
        log.evaluated(done, measure(state), measure.pictures(state))
        return status.DONE


class Log:
    """Writes and shows metrics; those of a step are read when the next is under way, so that devices never wait.

    `streak` is the longest row of steps that were not finite.
    """

    def __init__(self, cfg: RunConfig, metrics: Metrics, display: Display):
        self._cfg, self._metrics, self._display = cfg, metrics, display
        self._pending: tuple[int, Mapping[str, jax.Array]] | None = None
        self.streak = 0

    def stepped(self, step: int, values: Mapping[str, jax.Array]) -> None:
        """Takes the metrics of a step just dispatched, and logs those of the one before."""
        self.settle()
        self._pending = (step, values)

    def settle(self) -> None:
        """Waits for the last step taken and logs it if it is due."""
        if self._pending is None:
            return
        (step, values), self._pending = self._pending, None
        numbers = {name: float(v) for name, v in jax.device_get(dict(values)).items() if np.ndim(v) == 0}
        if step % self._cfg.log.every == 0 or step + 1 == self._cfg.train.steps:
            self._metrics.write(step, numbers)
            self._display.update(step, {name: v for name, v in numbers.items() if name.endswith("loss")})
        self.streak = max(self.streak, int(numbers["streak"]))

    def evaluated(self, step: int, values: Mapping[str, float], pictures: str) -> None:
        """Logs an evaluation of the state before `step`, after the steps that led to it."""
        self.settle()
        self._metrics.write(step, {f"eval/{name}": value for name, value in values.items()})
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._display.say(f"{self._cfg.task.name}  before step {step}  held out: {shown}{pictures}")


class Evaluation:
    """Metrics and pictures of the averaged weights on held-out data."""

    def __init__(self, task: Task, cfg: RunConfig, around: Surroundings, key: jax.Array):
        self._cfg, self._around, self._key = cfg, around, key
        self._batches = min(cfg.evals.batches, len(around.held_out))
        # as many as the devices that share the batch can make evenly
        ways = math.prod(around.mesh.shape[axis] for axis in meshes.RULES["batch"])
        self._shown = min(cfg.train.batch_size, -(-cfg.evals.samples // ways) * ways)

        def context(state: State, purpose: str, position: Any) -> Context:
            frozen, weights = around.frozen, states.weights(state)
            return Context(weights, frozen, state.extra, rng.fold(key, purpose, position), state.step)

        def evaluate(state: State, batch: Mapping[str, Any], position: Any) -> Mapping[str, Mean]:
            return task.evaluate(states.weights(state), _with_rows(batch), context(state, "evaluate", position))

        def sample(state: State, batch: Mapping[str, Any]) -> Mapping[str, Any]:
            return task.sample(states.weights(state), _with_rows(batch), context(state, "sample", 0))

        self._evaluate, self._sample = jax.jit(evaluate), jax.jit(sample)

    def __call__(self, state: State) -> dict[str, float]:
        """Means over the held-out batches."""
        totals: Any = None
        for position in range(self._batches):
            batch = self._read(position, self._cfg.train.batch_size)
            parts = self._evaluate(state, batch, np.int32(position))
            totals = parts if totals is None else jax.tree.map(lambda a, b: a + b, totals, parts)
        return {name: float(m.value()) for name, m in (totals or {}).items() if not name.startswith("_")}

    def pictures(self, state: State) -> str:
        """Writes the task's pictures, if it makes any; says where."""
        if not self._cfg.evals.samples:
            return ""
        pictures = self._sample(state, self._read(0, self._shown))
        local = {name: np.asarray(jax.device_get(x))[: self._cfg.evals.samples] for name, x in pictures.items()}
        return f"  {self._around.show(int(state.step), local)}" if local else ""

    def _read(self, position: int, rows: int) -> Mapping[str, jax.Array]:
        return place(self._around.held_out.batch, position, rows, self._around.mesh)


def _with_rows(batch: Mapping[str, Any]) -> dict[str, Any]:
    size = len(jax.tree.leaves(batch)[0])
    return {**batch, "row": jax.numpy.arange(size, dtype=jax.numpy.int32)}
