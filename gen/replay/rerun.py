"""A run's past, done again: its steps from the checkpoint before them, each as the launch that trained it had it.

past = Past(Path("runs/lm"))
start, state = past.before(700)
for step, state, metrics in past.forward(start, state, 701): ...
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from gen import config
from gen.checkpoint import checksums, restore, step_dir
from gen.replay import comparison
from gen.runs import branch, data_paths, inputs, reader
from gen.runs.build import BuiltRun, build_run
from gen.training import data_skips, manifest, metrics
from gen.training.compiled_step import Program
from gen.training.global_batch import make_global_batch
from gen.training.run_dir import RunDir, launch_of
from gen.training.state import State


@dataclasses.dataclass(frozen=True)
class Launched:
    """A run put together as a launch had it."""

    launch: Mapping[str, Any]
    made: BuiltRun
    program: Program
    frozen: Mapping[str, Any]

    @property
    def key(self) -> jax.Array:
        return jax.random.key(self.made.cfg.seed)

    def place(self, state: State) -> State:
        """A state where this launch had it."""
        return jax.device_put(state, jax.tree.map(lambda x: x.sharding, self.program.state))

    def changed(self) -> list[str]:
        """What is not as it was then; nothing where the manifest does not say."""
        mesh = dict(self.made.mesh.shape)
        return [*comparison.changed(self.launch, mesh), *self.data_changed()] if self.launch else []

    def data_changed(self) -> list[str]:
        return manifest.data_changed(self.launch, {"fingerprints": inputs.fingerprints(self.made.feed)})


class Rerun:
    """`changed` is what was not as now when the steps that were done again were trained."""

    def __init__(self, workdir: Path, moved: Sequence[tuple[str, Any]] = ()):
        """`moved` are places of the run's config that are others now (gen/runs/data_paths.py). Raises ValueError where
        there is no run."""
        self.run = RunDir(workdir)
        self.changed: dict[str, None] = {}  # in order
        self._config = data_paths.overridden(reader.config_of(workdir), moved)
        self._launches = self.run.launches()
        self._parent, self._history = branch.find(self.run, None), data_skips.DataSkips(workdir)
        self._last: tuple[Mapping[str, Any], Launched] | None = None

    def launch_of(self, step: int) -> Mapping[str, Any]:
        """The launch that trained a step."""
        return launch_of(self._launches, step)

    def launched(self, launch: Mapping[str, Any]) -> Launched:
        """Raises ValueError where this machine cannot be the mesh, or weights that the run reads are not there."""
        data = as_launched(self._config, launch)
        if self._last is None or self._last[0] != data:
            with data_paths.hinted(data):
                made = build_run(data, self.run, self._parent)
            changes = data_paths.moved(self.run.config(), self._config)
            data_paths.check(self.run, inputs.fingerprints(made.feed), made.tokenizer, changes)
            program = Program.of(made.task, made.cfg, made.mesh)
            frozen = reader.load_as_begun(made.task.frozen, made.upstream, made.mesh, self.run)
            self._last = data, Launched(launch, made, program, frozen)
        return dataclasses.replace(self._last[1], launch=launch)

    def before(self, step: int) -> tuple[int, State]:
        """The state of the newest intact checkpoint up to `step`, or that in which the run began."""
        first = self._parent.step if self._parent else 0
        if self._parent and step < first:
            raise ValueError(f"{self.run.path} branched off {self._parent.run.path}@{first}: replay step {step} there")
        for saved in reversed([saved for saved in restore.steps(self.run.checkpoints) if saved <= step]):
            if not self.kept(saved):
                continue
            abstract = self.launched(self.launch_of(saved)).program.state
            try:
                found = restore.restore(self.run.checkpoints, abstract, saved, warn=print)
            except restore.NoIntactCheckpoint:
                continue
            assert found is not None
            return found
        launched = self.launched(self.launch_of(first))
        if self._parent:
            return self._parent.state(launched.program.state, print)
        made = launched.made
        with jax.set_mesh(made.mesh):
            origin = reader.load_as_begun(made.task.origin, made.upstream, made.mesh, self.run)
            return 0, launched.program.begin(launched.key, origin)

    def kept(self, saved: int) -> bool:
        """Whether a checkpoint is of the steps that count, and not of those that a rewind has taken back."""
        try:
            extra = step_dir.contents(self.run.checkpoints / str(saved)).extra
        except checksums.DamagedCheckpoint:
            return True  # restoring says so
        return self._history.knows(saved, extra)

    def forward(
        self, start: int, state: State, stop: int, watch: Callable[[int, State, Any], None] = lambda *_: None
    ) -> Iterator[tuple[int, State, Mapping[str, jax.Array]]]:
        """(step, state after it, metrics) of each step from `start` up to, and without, `stop`. `watch` sees the state
        before a step and its batch."""
        for launch, steps in itertools.groupby(range(start, stop), self.launch_of):
            launched = self.launched(launch)
            self.changed.update(dict.fromkeys(launched.changed()))
            made, state = launched.made, launched.place(state)
            size, loader = made.cfg.train.batch_size, made.feed.train(made.cfg.train.batch_size)
            for now in steps:
                with jax.set_mesh(made.mesh):
                    batch = make_global_batch(loader.batch, self._history.position(now), size, made.mesh)
                    watch(now, state, batch)
                    state, values = launched.program.step(state, launched.frozen, batch, launched.key)
                yield now, state, values

    def state(self, step: int) -> State:
        """The state before a step. Raises ValueError for one that the run has not come to."""
        rows = metrics.read(self.run.metrics_jsonl)
        reached = [*restore.steps(self.run.checkpoints), *(int(row["step"]) + ("streak" in row) for row in rows)]
        if step > max(reached, default=0):
            raise ValueError(f"{self.run.path} has not come to step {step}, but to step {max(reached, default=0)}")
        start, state = self.before(step)
        for _, after, _ in self.forward(start, state, step):
            state = after
        return state


def check_data_is_read(path: Path, moved: Sequence[tuple[str, Any]]) -> None:
    """Raises ValueError where places of data are given, to make again what no data made."""
    for key, _ in moved:
        raise ValueError(f"--config.{key}: {path} was made of a prompt and weights, not of data; leave it out")


def as_launched(data: Mapping[str, Any], launch: Mapping[str, Any]) -> dict[str, Any]:
    """A run's config as a launch had it: schedules span what was asked for then, samples are drawn as they were, and
    the mesh is that of the launch, where it is of as many devices as are here."""
    data = config.merge(data, launch.get("settings", {}))
    if "steps" in launch:
        spans = {"train": {"steps": launch["steps"]}, "optim": {"steps": launch.get("schedule_steps")}}
        data = config.merge(data, spans)
    mesh = launch.get("mesh", {})
    return data | {"mesh": mesh} if mesh and math.prod(mesh.values()) == jax.device_count() else data
