"""Training steps from the checkpoint before them: the same batches, noise and program, and so the same numbers."""

import dataclasses
import math
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from gen import config, status
from gen.train import history, log, metrics, restore
from gen.train.feed import place
from gen.train.program import Program
from gen.train.run_dir import RunDir
from gen.train.state import State
from launch import ancestry, trained
from launch.assembled import Assembled, assemble
from launch.replay import verdict


@dataclasses.dataclass(frozen=True)
class Replayed:
    """A run put together as the launch that trained some step had it."""

    run: RunDir
    made: Assembled
    program: Program
    frozen: Mapping[str, Any]
    launch: Mapping[str, Any]

    @classmethod
    def open(cls, workdir: Path, step: int) -> "Replayed":
        """Raises ValueError where the run is not there, or this machine cannot be its mesh."""
        run = RunDir(workdir)
        launch = launch_of(run, step)
        data = run.config()
        # schedules span what was asked for then
        data = config.merge(data, {"train": {"steps": launch.get("steps", data["train"]["steps"])}})
        made = assemble(data, run, ancestry.find(run, None))
        frozen = trained.load_upstream(made.task.frozen, made.upstream, made.mesh)
        return cls(run, made, Program.of(made.task, made.cfg, made.mesh), frozen, launch)

    def changed(self) -> list[str]:
        return verdict.changed(self.launch, dict(self.made.mesh.shape)) if self.launch else []

    def before(self, step: int) -> tuple[int, State]:
        """The state of the newest intact checkpoint up to `step`, or that in which the run began."""
        for saved in reversed([saved for saved in restore.steps(self.run.checkpoints) if saved <= step]):
            try:
                found = restore.restore(self.run.checkpoints, self.program.state, saved, warn=print)
            except restore.NoIntactCheckpoint:
                continue
            assert found is not None
            return found
        if self.made.parent is not None:
            return self.made.parent.state(self.program.state, print)
        origin = trained.load_upstream(self.made.task.origin, self.made.upstream, self.made.mesh)
        return 0, self.program.begin(self.key, origin)

    def forward(
        self, start: int, state: State, stop: int, watch: Callable[[int, State, Any], None] = lambda *_: None
    ) -> Iterator[tuple[int, State, Mapping[str, jax.Array]]]:
        """(step, state after it, metrics) of each step from `start` up to, and without, `stop`. `watch` sees the state
        before a step and its batch."""
        size, past = self.made.cfg.train.batch_size, history.History(self.run.path)
        loader = self.made.feed.train(size)
        for now in range(start, stop):
            batch = place(loader.batch, past.position(now), size, self.made.mesh)
            watch(now, state, batch)
            state, values = self.program.step(state, self.frozen, batch, self.key)
            yield now, state, values

    def state(self, step: int) -> State:
        """The state before a step."""
        start, state = self.before(step)
        for _, after, _ in self.forward(start, state, step):
            state = after
        return state

    @property
    def key(self) -> jax.Array:
        return jax.random.key(self.made.cfg.seed)


def launch_of(run: RunDir, step: int) -> Mapping[str, Any]:
    """The last launch that trained from `step` or earlier on; empty where the manifest does not say."""
    return next((one for one in reversed(run.launches()) if one.get("start", step + 1) <= step), {})


def replay(workdir: Path, step: int, eager: bool) -> int:
    """Does the steps from the checkpoint before up to `step` again, and compares their metrics with what was logged;
    with `eager` that step once more, operation by operation, to find where a NaN comes from. Returns an exit status."""
    replayed = Replayed.open(workdir, step)
    logged = {row["step"]: row for row in metrics.read(replayed.run.metrics_jsonl) if "streak" in row}
    kept: list[Any] = []

    def watch(now: int, state: State, batch: Any) -> None:
        if eager and now == step:
            kept.extend([jax.tree.map(jnp.copy, state), batch])

    with jax.set_mesh(replayed.made.mesh):
        start, state = replayed.before(step)
        wrong, compared = [], 0
        for now, _, values in replayed.forward(start, state, step + 1, watch):
            found = log.scalars(values)
            compared += now in logged
            wrong += [f"step {now}: {line}" for line in apart(logged[now], found)] if now in logged else []
        if eager:
            return step_by_step(replayed, step, *kept)
    changed = replayed.changed()
    if wrong:
        return verdict.differs("; ".join(wrong[:6]) + ("; ..." if len(wrong) > 6 else ""), changed)
    if not compared:
        shown = ", ".join(f"{name} {value:.6g}" for name, value in found.items())
        print(f"steps {start} to {step} done again, of which none was logged; step {step}: {shown}")
        return status.DONE
    return verdict.same(f"steps {start} to {step}: {compared} logged rows are the same, bit for bit", changed)


def apart(then: Mapping[str, Any], now: Mapping[str, float]) -> list[str]:
    """The metrics that differ."""
    equal = lambda a, b: a == b or (math.isnan(a) and math.isnan(b))
    names = sorted((then.keys() | now.keys()) - {"step"})
    return [
        f"{name} was {then.get(name)!r}, is {now.get(name)!r}"
        for name in names
        if name not in then or name not in now or not equal(then[name], now[name])
    ]


def step_by_step(replayed: Replayed, step: int, state: State, batch: Any) -> int:
    """The step without a compiler, stopping at the first operation that makes a NaN; says where it is."""
    print(f"step {step}, operation by operation")
    try:
        with jax.disable_jit(), jax.debug_nans(True):
            _, values = replayed.program.step(state, replayed.frozen, batch, replayed.key)
            found = log.scalars(values)
    except FloatingPointError as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/gen/" in frame.filename]
        print(f"the first NaN: {str(error).splitlines()[0]}")
        for frame in frames[-4:]:
            print(f"  {Path(frame.filename).name}:{frame.lineno}, in {frame.name}: {frame.line}")
        return status.FAILED
    print("no NaN; " + ", ".join(f"{name} {value:.6g}" for name, value in found.items()))
    return status.DONE
