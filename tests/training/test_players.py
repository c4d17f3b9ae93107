"""Two adversaries in one run: each moves when it is due, sees what the other has become, and has its own optimizer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import small

from gen import spec
from gen.spec import Spec
from gen.tasks.base import Player, Task, mean_of
from gen.training import state as states
from gen.training import step
from gen.training.optim import OptimConfig

STEPS, BATCH = 12, 8
CFG = OptimConfig(
    clip=None,
    schedule="linear",
    players={"generator": {"lr": 0.1, "b1": 0.5}, "discriminator": {"lr": 0.02, "name": "lion", "ema": 0.9}},
)
PERIODS = {"generator": 2, "discriminator": 3}


def one(value):
    return {"value": Spec((), (), spec.constant(value))}


class Adversaries(Task):
    """The generator shifts numbers, the discriminator's slope tells shifted from real."""

    players = {
        "generator": Player(one(2.0), PERIODS["generator"]),
        "discriminator": Player(one(0.5), PERIODS["discriminator"]),
    }

    def batch(self, size):
        return {"real": jax.ShapeDtypeStruct((size,), jnp.float32)}

    def loss(self, player, params, batch, context):
        weights = {**context.others, player: params}
        return mean_of(error(player, weights["generator"]["value"], weights["discriminator"]["value"], batch)), {}


def error(player, shift, slope, batch):
    realism_B = slope * (batch["real"] + shift)
    return jax.nn.softplus(realism_B if player == "discriminator" else -realism_B) + 0.1 * slope**2


def batch(position):
    return small.Noise(Adversaries(), BATCH).batch(position, np.arange(BATCH))


@pytest.fixture(scope="module")
def history():
    """The state and the metrics after each step."""
    task = Adversaries()
    step_fn = jax.jit(step.make(task, CFG, STEPS, 1))
    state, history = states.init(task, CFG, STEPS, jax.random.key(0)), []
    for position in range(STEPS):
        state, values = step_fn(state, {}, batch(position), jax.random.key(0))
        history.append((state, values))
    return history


def test_the_game_is_the_one_played_by_hand(history):
    rates = {"generator": optax.linear_schedule(0.1, 0, 6), "discriminator": optax.linear_schedule(0.02, 0, 4)}
    transforms = {
        "generator": optax.adamw(rates["generator"], b1=0.5, weight_decay=0.0),
        "discriminator": optax.lion(rates["discriminator"], b1=0.9, b2=0.999, weight_decay=0.0),
    }
    weights = {"generator": jnp.float32(2.0), "discriminator": jnp.float32(0.5)}
    slots = {name: transform.init(weights[name]) for name, transform in transforms.items()}
    gradient = jax.grad(lambda own, name, all, rows: error(name, *{**all, name: own}.values(), rows).mean())
    for position, (state, _) in enumerate(history):
        for name in ("generator", "discriminator"):  # in order: the second sees the first one's new weights
            if position % PERIODS[name] == 0:
                slope = gradient(weights[name], name, weights, batch(position))
                change, slots[name] = transforms[name].update(slope, slots[name], weights[name])
                weights = {**weights, name: weights[name] + change}
            np.testing.assert_allclose(state.players[name].params["value"], weights[name], rtol=1e-5)


def test_players_move_when_they_are_due(history):
    for name, period in PERIODS.items():
        counts = [int(state.players[name].updates) for state, _ in history]
        assert counts == [position // period + 1 for position in range(STEPS)]


def test_a_schedule_spans_the_updates_of_its_player(history):
    rates = {name: [float(values[f"{name}/lr"]) for _, values in history] for name in PERIODS}
    moving = {name: rates[name][::period] for name, period in PERIODS.items()}
    np.testing.assert_allclose(moving["generator"], 0.1 * (1 - np.arange(6) / 6), rtol=1e-5)
    np.testing.assert_allclose(moving["discriminator"], 0.02 * (1 - np.arange(4) / 4), rtol=1e-5)


def test_only_the_player_that_asks_has_an_average(history):
    players = history[-1][0].players
    assert players["generator"].ema is None
    assert players["discriminator"].ema["value"] != players["discriminator"].params["value"]


def test_updates_are_counted_over_periods_and_inner_updates():
    task = Adversaries()
    assert [task.updates(name, 7) for name in PERIODS] == [4, 3]
    task.inner_updates = 3
    assert [task.updates(name, 7) for name in PERIODS] == [12, 9]
