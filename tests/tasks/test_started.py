"""Any task from the weights of another run of its kind."""

import jax
import numpy as np
import pytest

from gen.tasks.warm_start import WarmStart
from gen.training import state as states
from gen.training.optim import OptimConfig
from tests import small
from tests.peers import hasty


def test_weights_are_those_of_the_other_run_and_the_rest_is_fresh():
    task, plain = WarmStart(small.Line()), small.Line()
    begun = states.init(task, OptimConfig(), 10, jax.random.key(0), small.origin(task))
    small.assert_equal(begun.players["model"].params, small.origin(task)["model"])
    assert [(read.run, read.part) for read in task.origin.values()] == [("start", "model")]
    fresh = states.init(plain, OptimConfig(), 10, jax.random.key(0))
    small.assert_equal(begun.players["model"].opt, fresh.players["model"].opt)
    small.assert_equal(begun.extra, fresh.extra)


def test_all_else_is_the_task_inside():
    plain, rows = small.Line(), 4
    task, players = WarmStart(plain), {"model": small.params(plain)}
    batch, context = small.batch(plain, rows), small.context(plain, players)
    for passes in (1, 2):
        one, other = (
            hasty(lambda p, b, c, t=t, n=passes: t.gradients("model", p, b, c, n))(players["model"], batch, context)
            for t in (task, plain)
        )
        small.assert_equal(one, other)
    small.assert_equal(*(t.evaluate(players, batch, context) for t in (task, plain)))
    np.testing.assert_equal(task.batch(rows), plain.batch(rows))
    assert (task.players, task.extra, task.updates("model", 7)) == (plain.players, plain.extra, 7)


@pytest.mark.parametrize(("family", "run"), [("chat", "base"), ("reward", "sft"), ("ppo", "sft")])
def test_a_task_begins_from_one_place_alone(family, run):
    with pytest.raises(ValueError, match=rf"upstream.start: this task begins from upstream.{run} already"):
        WarmStart(small.FAMILIES[family]())
