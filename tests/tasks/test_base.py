"""Means that add up, and the defaults of a task."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from gen.tasks import base
from gen.tasks.base import Mean, Player, mean_of


def test_means_divide_once():
    assert mean_of(jnp.array([1.0, 2.0, 6.0])).value() == 3.0
    weighted = mean_of(jnp.array([1.0, 2.0, 6.0]), jnp.array([1.0, 1.0, 0.0]))
    assert (weighted.total, weighted.weight, weighted.value()) == (3.0, 2.0, 1.5)
    added = jax.tree.map(jnp.add, Mean(3.0, 2.0), Mean(6.0, 1.0))
    assert added.value() == 3.0


def test_evaluation_names_the_losses():
    class Two(small.Line):
        players = {"a": small.Line.players["model"], "b": Player(small.Line.players["model"].specs)}

    batch = small.batch(small.Line(), 4)
    w = {"w": jnp.ones(3), "bias": jnp.zeros(())}
    context = small.context(small.Line(), {"model": w})
    assert list(small.Line().evaluate({"model": w}, batch, context)) == ["loss", "error"]
    assert list(Two().evaluate({"a": w, "b": w}, batch, context)) == ["a/loss", "error", "b/loss"]


def test_keys_belong_to_a_purpose_and_a_row():
    context = small.context(small.Line(), {})
    bits = lambda purpose, rows: np.asarray(jax.random.key_data(context.keys(purpose, jnp.array(rows))))
    np.testing.assert_array_equal(bits("noise", [0, 1, 2])[1:], bits("noise", [1, 2]))
    assert not np.array_equal(bits("noise", [0]), bits("time", [0]))


def test_a_task_names_its_batch_and_its_loss():
    with pytest.raises(NotImplementedError):
        base.Task().batch(1)
    with pytest.raises(NotImplementedError):
        base.Task().loss("model", {}, {}, small.context(small.Line(), {}))
