"""One training step: prepare the batch, then let each player move. This is all of it, and it is one jit.

step = make(task, OptimConfig(), steps=10_000, micro_batches=1)
state, metrics = jax.jit(step, donate_argnums=0)(state, frozen, batch, key)
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Key

from gen import config, rng
from gen.spec import Params
from gen.tasks.base import Batch, LossContext, Mean, Metrics, Player, Task
from gen.training import spikes
from gen.training.optim import OptimConfig, clipping, moving, optimizer, schedule, span
from gen.training.spikes import SpikeConfig
from gen.training.state import PlayerState, State

LARGEST = 2.0**120  # float32 and bfloat16 overflow at 2^128


def make(task: Task, optim: OptimConfig, steps: int, micro_batches: int, spike: SpikeConfig = spikes.NOTE) -> Callable:
    """The step function (state, frozen, batch, key) -> (state, metrics); `key` is the run's, whatever the step."""
    norm_names = {name: "grad_norm" if len(task.players) == 1 else f"{name}/grad_norm" for name in task.players}

    def step(
        state: State, frozen: Mapping[str, Params], batch: Batch, key: Key[Array, ""]
    ) -> tuple[State, dict[str, Array]]:
        size = jax.tree.leaves(batch)[0].shape[0]
        batch = {**batch, "row": jnp.arange(size, dtype=jnp.int32)}
        key = rng.fold(key, "step", state.step)
        context = LossContext(_params(state), frozen, state.extra, rng.fold(key, "prepare"), state.step, state.step)
        prepared = jax.lax.stop_gradient(task.prepare(context.others, batch, context))

        def update(players: Mapping[str, PlayerState], number: Array) -> tuple[dict[str, PlayerState], tuple]:
            minibatch = task.minibatch(prepared, number, rng.fold(key, "minibatch"))
            moved, finite = dict(players), jnp.bool_(True)
            metrics: dict[str, Mean] = {}
            for name, player in task.players.items():
                now = {n: p.params for n, p in moved.items()}
                own = context._replace(others=now, key=rng.fold(key, name, number))
                move = _mover(task, name, player, optim.of(name), steps, micro_batches)
                moved[name], more, good = move(moved[name], minibatch, own)
                finite &= good
                metrics |= more if len(task.players) == 1 else {f"{name}/{k}": v for k, v in more.items()}
            return moved, (finite, metrics)

        players, (finite, metrics) = _updates(update, dict(state.players), task.inner_updates)
        after = {name: p.params for name, p in players.items()}
        extra = task.after(after, prepared, metrics, context)
        finite &= all_finite(extra)
        norms = {name: metrics[shown].value() for name, shown in norm_names.items()}
        outlier = spikes.outlier(state.norms, norms, spike)
        keep = finite & ~outlier if spike.action == "skip" else finite
        new = _commit(state, players, extra, spikes.counted(state.norms, norms, spike), keep)
        shown = {name: m.value() for name, m in metrics.items() if not name.startswith("_")}
        return new, {**shown, "outlier": outlier, "skipped": new.skipped, "streak": new.streak}

    return step


def _mover(task: Task, name: str, player: Player, cfg: OptimConfig, steps: int, micro_batches: int) -> Callable:
    """One player's update, done at every `period`-th step and an identity at the others, with its metrics and whether
    loss, gradient and all that it makes are finite."""
    updates = task.updates(name, span(cfg, steps))
    transform, rate = optimizer(cfg, player.specs, updates), schedule(cfg, updates)
    moves = moving(cfg, player.specs)

    def move(state: PlayerState, batch: Batch, context: LossContext) -> tuple[PlayerState, Metrics, Array]:
        with jax.named_scope(f"{name}_gradients"):
            loss, metrics, grads = task.gradients(name, state.params, batch, context, micro_batches)
            grads = moves(grads)  # XLA leaves out the work for gradients that nobody reads
            # one factor makes the gradients a mean and clips them, so that they are never written down in between
            norm = optax.tree.norm(grads) / loss.weight
            clipped = clipping(norm, cfg.clip)
            factor = clipped / loss.weight
            grads = jax.tree.map(lambda g: g * factor, grads)
        with jax.named_scope(f"{name}_update"):
            before = moves(state.params)
            changes, opt = transform.update(grads, state.opt, before)
            after = optax.apply_updates(before, changes)
            params, ema = config.merge(state.params, after), None
            if cfg.ema is not None:
                ema = config.merge(state.ema, average(moves(state.ema), after, cfg.ema, state.updates))
            # moments, means of g and g^2, and the average of the weights follow: they need not be read
            finite = all_finite((loss.total, norm, jnp.square(norm * clipped), after))
        own = {"grad_norm": Mean(norm, 1.0), "lr": Mean(rate(state.updates), 1.0)}
        return PlayerState(params, opt, ema, state.updates + 1), {"loss": loss, **metrics, **own}, finite

    def wait(state: PlayerState, batch: Batch, context: LossContext) -> tuple[PlayerState, Metrics, Array]:
        shapes = jax.eval_shape(lambda: move(state, batch, context)[1])
        return state, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes), jnp.bool_(True)

    if player.period == 1:
        return move
    return lambda state, batch, context: jax.lax.cond(
        context.step % player.period == 0, move, wait, state, batch, context
    )


def _updates(update: Callable, players: dict[str, PlayerState], count: int) -> tuple[dict[str, PlayerState], tuple]:
    """All inner updates of a step, whether they were finite, and their metrics added up."""
    if count == 1:
        return update(players, jnp.int32(0))
    players, (finite_U, metrics_U) = jax.lax.scan(update, players, jnp.arange(count, dtype=jnp.int32))
    return players, (finite_U.all(), jax.tree.map(lambda x_U: x_U.sum(0), metrics_U))


def all_finite(tree: Any) -> Bool[Array, ""]:
    """Whether every floating-point number of a tree is finite, and so are sums of a few of them."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.stack([(jnp.abs(x) < LARGEST).all() for x in leaves]).all() if leaves else jnp.bool_(True)


def average(ema: Params | None, params: Params, decay: float, updates: Array) -> Params:
    """Exponential moving average; the decay starts low, so that a short run is not an average of its first steps."""
    share = 1 - jnp.minimum(decay, (1.0 + updates) / (10.0 + updates))
    return jax.tree.map(lambda e, p: e + share * (p - e), ema, params)


def _commit(
    old: State, players: Mapping[str, PlayerState], extra: Params, norms: spikes.Statistics, keep: Array
) -> State:
    """The new state if it is to be kept, else the old one with the step counted as skipped."""
    kept_players, kept_extra, kept_norms = jax.tree.map(
        lambda new, before: jnp.where(keep, new, before),
        (dict(players), extra, dict(norms)),
        (dict(old.players), old.extra, dict(old.norms)),
    )
    return State(
        step=old.step + 1,
        players=kept_players,
        extra=kept_extra,
        norms=kept_norms,
        skipped=old.skipped + jnp.where(keep, 0, 1),
        streak=jnp.where(keep, 0, old.streak + 1),
    )


def _params(state: State) -> dict[str, Params]:
    return {name: p.params for name, p in state.players.items()}
