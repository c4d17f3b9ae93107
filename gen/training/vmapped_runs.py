"""Several runs that differ in scalars alone, trained as one program: the step of gen.training.step under vmap.

    train(task, members, around)            # as gen.training.loop.train, for all of them
    unpack(task, members, around)           # the state of each, to where its own training would have written it

Learning rate, weight decay and seed of each member are numbers that the program is given; batches are the same for all.
A member that diverges stays as it is while the others go on. All is on one device.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Key

from gen import exit_codes, jsonfile, spec
from gen.checkpoint import restore
from gen.config import ConfigError
from gen.spec import Params
from gen.tasks.base import Batch, Task
from gen.training import metrics as metrics_file
from gen.training import state as states
from gen.training import step
from gen.training.compiled_step import Program, abstract_on
from gen.training.config import RunConfig
from gen.training.display import Display
from gen.training.log import Log
from gen.training.loop import RunContext, Show, Trainer
from gen.training.metrics import Metrics, Seal
from gen.training.optim import OptimConfig
from gen.training.run_dir import RunDir
from gen.training.state import State


class Member(NamedTuple):
    """One of the runs: its config, where its metrics go, and in the end its state, and what shows its samples."""

    cfg: RunConfig
    run: RunDir
    show: Show


@dataclasses.dataclass(frozen=True)
class TracedOptimConfig(OptimConfig):
    """An optimizer's config in which these two are numbers of the program's."""

    lr: Any = None
    weight_decay: Any = None


def train(task: Task, members: Sequence[Member], around: RunContext) -> int:
    """Trains all to the last step, or to where the last of them diverged, with checkpoints in `around.run`; returns an
    exit status."""
    with jax.set_mesh(around.mesh):
        return VmappedTrainer(task, members, around).run()


def unpack(task: Task, members: Sequence[Member], around: RunContext) -> list[int]:
    """Writes the state of each member, as a pack that has ended left it, to where its own training would have; returns
    how each ended."""
    with jax.set_mesh(around.mesh):
        return VmappedTrainer(task, members, around).unpack()


def keys(cfgs: Sequence[RunConfig]) -> Key[Array, "N"]:
    return jnp.stack([jax.random.key(cfg.seed) for cfg in cfgs])


def program(task: Task, cfgs: Sequence[RunConfig], mesh: Mesh) -> Program:
    """The program of one run, over all that have these configs."""
    first, optims, whole = cfgs[0], [cfg.optim for cfg in cfgs], NamedSharding(mesh, P())
    decays = [optim.weight_decay for optim in optims]
    lr_N, decay_N = jnp.float32([optim.lr for optim in optims]), jnp.float32(decays)

    def begin(key: Key[Array, "N"], origin: Mapping[str, Params]) -> State:
        one = lambda key: states.init(task, first.optim, first.train.steps, key, origin)
        return jax.vmap(one)(key)

    def move(lr: Any, decay: Any, state: State, key: Key[Array, ""], frozen: Mapping[str, Params], batch: Batch):
        scalars = {"lr": lr, "weight_decay": decay if any(decays) else 0.0}
        optim = TracedOptimConfig(**{**vars(first.optim), **scalars})
        one = step.make(task, optim, first.train.steps, first.train.accumulate, first.train.spikes)
        moved, metrics = one(state, frozen, batch, key)
        stays = state.streak >= first.train.diverged_after
        return jax.tree.map(lambda old, new: jnp.where(stays, old, new), state, moved), metrics

    def once(state: State, frozen: Mapping[str, Params], batch: Batch, key: Key[Array, "N"]):
        return jax.vmap(move, in_axes=(0, 0, 0, 0, None, None))(lr_N, decay_N, state, key, frozen, batch)

    origin = {name: spec.abstract(read.specs) for name, read in task.origin.items()}
    shapes = jax.eval_shape(begin, jax.eval_shape(lambda: keys(cfgs)), origin)
    return Program(
        state=jax.tree.map(lambda x: abstract_on(x, whole), shapes),
        begin=jax.jit(begin, out_shardings=whole),
        step=jax.jit(once, donate_argnums=0, out_shardings=whole),
    )


class VmappedTrainer(Trainer):
    """The state, and what a step says, have a leading axis of members."""

    def __init__(self, task: Task, members: Sequence[Member], around: RunContext):
        """Raises ConfigError for what a pack cannot do."""
        cfg = members[0].cfg
        if around.mesh.size > 1:
            raise ConfigError(
                f"a pack trains on one device, and here are {around.mesh.size}: leave it one, or none packed"
            )
        if cfg.train.spikes.action == "rewind":
            raise ConfigError("train.spikes.action='rewind' is of one run alone: run these trials unpacked")
        self.members = members
        super().__init__(task, cfg, around)

    def draw_key(self) -> Key[Array, "N"]:
        return keys([member.cfg for member in self.members])

    def program_of(self, task: Task) -> Program:
        return program(task, [member.cfg for member in self.members], self.around.mesh)

    def manifest(self) -> RunDir:
        return self.members[0].run

    def record_start(self, start: int) -> None:
        for member in self.members:
            member.run.record_start(start)

    def begin(self) -> tuple[int, State]:
        start, state = super().begin()
        self.streak_N = np.asarray(state.streak)
        return start, state

    def open_log(self, start: int) -> "VmappedLog":
        return VmappedLog(self.members, start, self.streak_N, self.display, lambda: self.damage.metrics())

    def is_closed(self) -> bool:
        return all(
            any(row["step"] >= self.cfg.train.steps for row in metrics_file.rows(member.run.metrics_jsonl))
            for member in self.members
        )

    def evaluate(self, state: State) -> None:
        log = self.log
        assert isinstance(log, VmappedLog)
        log.settle()
        losses = []
        for index, (member, own) in enumerate(zip(self.members, log.logs, strict=True)):
            if not log.ended(index):
                one, evaluation = take(state, index), self.evaluation.of_seed(member.cfg.seed)
                measured, shown = self.measure(one, evaluation, member.show)
                own.evaluated(int(one.step), measured, shown)
                losses.append(measured.get("loss", math.nan))
        said = f"held out: loss {min(losses):.4g} to {max(losses):.4g}" if losses else "all diverged"
        self.display.say(f"{self.display.name}  before step {int(np.max(state.step))}  {said}")

    def diverged(self) -> str:
        log = self.log
        assert isinstance(log, VmappedLog)
        return "all diverged" if all(map(log.ended, range(len(self.members)))) else ""

    def unpack(self) -> list[int]:
        with self.checkpoints:
            restored = self.checkpoints.restore(self.program.state)
            assert restored is not None, "a pack that has ended has saved"
            self.count_damage(restored[0])
        state = restored[1]
        for index, member in enumerate(self.members):
            one = take(state, index)
            if int(one.step) not in restore.steps(member.run.checkpoints):
                extra = {"skips": [], "metrics": metrics_file.sealed(member.run.metrics_jsonl, int(one.step))}
                with self.open_checkpoints(member.run) as own:
                    own.save(int(one.step), one, force=True, extra_json={**extra, **self.damage.extra()})
        diverged = np.asarray(state.streak) >= self.cfg.train.diverged_after
        return [exit_codes.DIVERGED if ended else exit_codes.DONE for ended in diverged]


class VmappedLog(Log):
    """The logs of all members, each until it diverges, and one line for them together."""

    def __init__(
        self,
        members: Sequence[Member],
        start: int,
        streak_N: np.ndarray,
        display: Display,
        counted: Callable[[], Mapping[str, int]],
    ):
        quiet = Display("", members[0].cfg.train.steps, shown=False)
        self.logs = [Log(m.cfg, Metrics(m.run.metrics_jsonl, start), quiet, counted) for m in members]
        for log, streak in zip(self.logs, streak_N, strict=True):
            log.streak = int(streak)  # who has diverged before stays so
        super().__init__(members[0].cfg, self.logs[0]._metrics, display)

    def __exit__(self, *_: object) -> None:
        for log in self.logs:
            log.__exit__()

    def seal(self) -> dict[str, Any]:
        return {"metrics": [log.seal().get("metrics") for log in self.logs]}

    def check(self, extra: Mapping[str, Any]) -> None:
        where = "the JSON of the checkpoint: metrics"
        for log, then in zip(
            self.logs, jsonfile.check(extra.get("metrics", []), list[Seal | None], where), strict=False
        ):
            log.compare(then, self._display)

    def ended(self, index: int) -> bool:
        return self.logs[index].streak >= self._cfg.train.diverged_after

    def take(self, step: int, values: Mapping[str, Any]) -> None:
        for index, log in enumerate(self.logs):
            if not self.ended(index):
                log.take(step, {name: np.asarray(x)[index] for name, x in values.items()})
        if self.due(step):
            shown = {name: x for name, x in values.items() if name.endswith("loss") and np.ndim(x) == 1}
            finite = {name: x[np.isfinite(x)] for name, x in shown.items()}
            self._display.update(step, {f"least {name}": float(x.min()) for name, x in finite.items() if len(x)})


def take(state: State, index: int) -> State:
    """The state of one member."""
    return jax.tree.map(lambda x: x[index], state)
