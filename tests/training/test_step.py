"""One training step against the same update made by hand, and steps that are not finite."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import small

from gen import exit_codes, flops
from gen.tasks.base import Mean, Player
from gen.training import state as states
from gen.training import step
from gen.training.optim import OptimConfig

CFG = OptimConfig(lr=0.1, schedule="linear", warmup=2, weight_decay=0.1, clip=0.5, ema=0.5)
STEPS, BATCH = 10, 8
TASK = small.Line()


@pytest.fixture(scope="module")
def step_fn():
    return jax.jit(step.make(TASK, CFG, STEPS, micro_batches=2))


@pytest.fixture
def fresh():
    return states.init(TASK, CFG, STEPS, jax.random.key(0))


def batch(position):
    return small.Noise(TASK, BATCH).batch(position, np.arange(BATCH))


def run(step_fn, state, batches):
    values = {}
    for rows in batches:
        state, values = step_fn(state, {}, rows, jax.random.key(0))
    return state, values


def test_steps_are_those_made_by_hand(step_fn, fresh):
    rate = optax.join_schedules([optax.linear_schedule(0, 0.1, 2), optax.linear_schedule(0.1, 0, 8)], [2])
    adam = optax.chain(
        optax.clip_by_global_norm(0.5), optax.adamw(rate, weight_decay=0.1, mask={"w": True, "bias": False})
    )

    def weighted_mean(params, rows):
        error_B = rows["x"] @ params["w"] + params["bias"] - rows["y"]
        return (error_B**2 * rows["weight"]).sum() / rows["weight"].sum()

    params = ema = fresh.players["model"].params
    slots = adam.init(params)
    for update in range(4):
        loss, grads = jax.value_and_grad(weighted_mean)(params, batch(update))
        changes, slots = adam.update(grads, slots, params)
        params = optax.apply_updates(params, changes)
        decay = min(0.5, (1 + update) / (10 + update))
        ema = jax.tree.map(lambda e, p, d=decay: d * e + (1 - d) * p, ema, params)

    state, values = run(step_fn, fresh, map(batch, range(4)))
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5)
    jax.tree.map(close, state.players["model"].params, params)
    jax.tree.map(close, state.players["model"].ema, ema)
    close(state.extra["rows"], sum(batch(i)["weight"].sum() for i in range(4)))
    close([values["loss"], values["grad_norm"]], [loss, optax.tree.norm(grads)])
    close(values["lr"], rate(3))
    assert (int(state.step), int(state.players["model"].updates)) == (4, 4)


@pytest.mark.parametrize("poison", ["x", "y"])
def test_a_step_that_is_not_finite_changes_nothing(step_fn, fresh, poison):
    before, _ = run(step_fn, fresh, [batch(0)])
    bad = batch(1)
    bad[poison][3] = np.inf if poison == "x" else np.nan
    after, values = run(step_fn, before, [bad, bad])
    small.assert_equal((before.players, before.extra), (after.players, after.extra))
    assert (int(after.step), int(after.skipped), int(after.streak)) == (3, 2, 2)
    assert (values["skipped"], values["streak"]) == (2, 2) and not np.isfinite(values["loss"])
    again, _ = run(step_fn, after, [batch(2)])
    assert (int(again.skipped), int(again.streak), int(again.players["model"].updates)) == (2, 0, 2)


class Infinite(small.Line):
    """The first of two inner updates has an infinite loss, with a gradient that is finite."""

    inner_updates = 2

    def minibatch(self, prepared, update, key):
        return {**prepared, "offset": jnp.where(update == 0, jnp.inf, 0.0)}

    def loss(self, player, params, batch, context):
        mean, metrics = super().loss(player, params, batch, context)
        return mean._replace(total=mean.total + batch["offset"]), metrics


def test_every_inner_update_has_to_be_finite():
    task = Infinite()
    fresh = states.init(task, CFG, STEPS, jax.random.key(0))
    after, values = jax.jit(step.make(task, CFG, STEPS, 1))(fresh, {}, batch(0), jax.random.key(0))
    assert np.isinf(values["loss"]) and np.isfinite(values["grad_norm"])  # means of both
    small.assert_equal(fresh.players, after.players)
    assert int(after.skipped) == 1


class Steep(small.Line):
    """A loss whose gradient is finite while its square is not."""

    def loss(self, player, params, batch, context):
        return Mean(1e12 * params["w"].sum(), 1e-10), {}


class Two(small.Line):
    """The line, learned twice."""

    players = {name: small.Line.players["model"] for name in ("one", "other")}

    def after(self, players, prepared, metrics, context):
        return context.extra


HUGE = 1e38  # a learning rate at which weights overflow


@pytest.mark.parametrize(
    ("task", "cfg"),
    [
        (small.Line(), OptimConfig("adamw", lr=HUGE, ema=0.9)),
        (small.Line(), OptimConfig("adamw", lr=HUGE, ema=0.9, freeze=("^bias$",))),
        (small.Line(), OptimConfig("lion", lr=HUGE)),
        (small.Line(), OptimConfig("adafactor", lr=HUGE)),
        (small.Line(), OptimConfig("muon", lr=HUGE)),
        (Steep(), OptimConfig(lr=1e-3, clip=None)),
        (Two(), OptimConfig(lr=1e-3, players={"other": {"lr": HUGE}})),
    ],
)
@pytest.mark.parametrize("micro_batches", [1, 2])
def test_an_update_that_is_not_finite_changes_nothing(task, cfg, micro_batches):
    """Though loss and gradient are: of Steep the second moment would overflow."""
    fresh = states.init(task, cfg, STEPS, jax.random.key(0))
    after, values = run(jax.jit(step.make(task, cfg, STEPS, micro_batches)), fresh, [batch(0)] * 2)
    assert all(np.isfinite(x) for name, x in values.items() if name.endswith(("loss", "grad_norm")))
    small.assert_equal((fresh.players, fresh.extra), (after.players, after.extra))
    assert (int(after.step), int(after.skipped), int(after.streak)) == (2, 2, 2)


def test_the_average_starts_low():
    ema, params = {"w": jnp.zeros(())}, {"w": jnp.ones(())}
    kept = [1 - float(step.average(ema, params, 0.99, jnp.int32(n))["w"]) for n in (0, 10, 10_000)]
    np.testing.assert_allclose(kept, [0.1, 11 / 20, 0.99], rtol=1e-5)


@pytest.mark.parametrize("name", ["lion", "adafactor"])
def test_other_optimizers_lower_the_loss(name):
    cfg = OptimConfig(name, lr=0.1)
    fresh = states.init(TASK, cfg, 40, jax.random.key(3))
    run_step = jax.jit(step.make(TASK, cfg, 40, 1))
    _, first = run(run_step, fresh, [batch(0)])
    _, last = run(run_step, fresh, [batch(0)] * 40)
    assert last["loss"] < 0.5 * first["loss"]


FREEZING = OptimConfig(lr=0.1, weight_decay=0.1, clip=0.5, ema=0.5, freeze=("^bias$",))


class Shifted(small.Line):
    """Least squares whose bias is no parameter."""

    players = {"model": Player({"w": small.Line.players["model"].specs["w"]})}

    def loss(self, player, params, batch, context):
        return super().loss(player, {**params, "bias": jnp.float32(-0.0)}, batch, context)


def test_what_is_frozen_stays_and_the_rest_trains_as_if_it_were_no_parameter(fresh):
    """-0, whose sign an addition of 0 would change, stays what it is."""
    with_bias = states.init(TASK, FREEZING, STEPS, jax.random.key(0))
    model = with_bias.players["model"]
    still = {name: {**getattr(model, name), "bias": jnp.float32(-0.0)} for name in ("params", "ema")}
    with_bias = with_bias.replace(players={"model": model.replace(**still)})
    without = states.init(Shifted(), dataclasses.replace(FREEZING, freeze=()), STEPS, jax.random.key(0))
    run_frozen = jax.jit(step.make(TASK, FREEZING, STEPS, micro_batches=2))
    run_without = jax.jit(step.make(Shifted(), dataclasses.replace(FREEZING, freeze=()), STEPS, micro_batches=2))
    frozen, values = run(run_frozen, with_bias, map(batch, range(3)))
    alone, expected = run(run_without, without, map(batch, range(3)))
    got, want = frozen.players["model"], alone.players["model"]
    for name in ("params", "ema"):
        assert np.signbit(getattr(got, name)["bias"]) and getattr(got, name)["bias"] == 0
        np.testing.assert_allclose(getattr(got, name)["w"], getattr(want, name)["w"], rtol=1e-6)
    assert jax.tree.structure(got.opt) == jax.tree.structure(want.opt), "no slots"
    np.testing.assert_allclose(values["grad_norm"], expected["grad_norm"], rtol=1e-6)


def test_no_work_goes_into_gradients_of_what_is_frozen():
    task, rows = small.lm(), small.batch(small.lm(), 4)
    all_but = (r"^(?!tokens)",)

    def work(cfg):
        state = jax.eval_shape(lambda key: states.init(task, cfg, STEPS, key), jax.random.key(0))
        return flops.count(step.make(task, cfg, STEPS, 1), state, {}, rows, jax.random.key(0)).flops

    assert work(OptimConfig(freeze=all_but)) < 0.8 * work(OptimConfig())


def test_a_run_with_frozen_weights_resumes(tmp_path):
    cfg = small.config(optim={"freeze": ["bias"], "ema": 0.9})
    data = small.Noise(TASK, 8)
    assert small.train(TASK, cfg, tmp_path / "whole", data) == exit_codes.DONE
    assert small.train(TASK, cfg, tmp_path / "stopped", small.Stop(data, 2)) == exit_codes.PREEMPTED
    assert small.train(TASK, cfg, tmp_path / "stopped", data) == exit_codes.DONE
    small.assert_equal(small.left(tmp_path / "whole").state, small.left(tmp_path / "stopped").state)
