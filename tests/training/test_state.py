"""The state before the first step, and where its leaves live on a mesh."""

import jax
import numpy as np
import pytest
import small

from gen import mesh as meshes
from gen import spec
from gen.config import ConfigError
from gen.mesh import MeshConfig
from gen.spec import Spec
from gen.tasks.base import Player, Task
from gen.training import state as states
from gen.training.optim import OptimConfig


class Nested(Task):
    """One path ends with another, and both arrays have one shape."""

    players = {
        "model": Player(
            {
                "conv": {"kernel": Spec((8, 8), ("embed", None), spec.normal(1.0))},
                "head": {"conv": {"kernel": Spec((8, 8), (None, "mlp"), spec.normal(1.0))}},
            }
        )
    }


def abstract(task, cfg):
    return jax.eval_shape(lambda key: states.init(task, cfg, 10, key), jax.random.key(0))


def test_slots_and_averages_live_where_their_weights_live():
    mesh = meshes.make(MeshConfig(data=1, fsdp=4, tensor=2), jax.devices())
    placed = states.shardings(Nested(), abstract(Nested(), OptimConfig(ema=0.9)), mesh).players["model"]
    assert placed.params["conv"]["kernel"] != placed.params["head"]["conv"]["kernel"]
    adam = next(part for part in jax.tree.leaves(placed.opt, is_leaf=lambda x: hasattr(x, "mu")) if hasattr(part, "mu"))
    assert adam.mu == adam.nu == placed.ema == placed.params
    assert adam.count.is_fully_replicated and placed.updates.is_fully_replicated


def test_adding_an_average_moves_no_weight_and_shares_no_buffer():
    plain, averaged = (
        jax.jit(lambda key, ema=ema: states.init(small.Line(), OptimConfig(ema=ema), 10, key))(jax.random.key(0))
        for ema in (None, 0.9)
    )
    small.assert_equal(plain.players["model"].params, averaged.players["model"].params)
    small.assert_equal(averaged.players["model"].ema, averaged.players["model"].params)
    where = lambda tree: {leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(tree)}
    assert not where(averaged.players["model"].ema) & where(averaged.players["model"].params)
    assert states.weights(plain)["model"] is plain.players["model"].params
    assert states.weights(averaged)["model"] is averaged.players["model"].ema


def test_keys_for_a_player_that_there_is_not():
    with pytest.raises(ConfigError, match=r"^optim\.players\.modle: no such player is trained; did you mean 'model'\?"):
        abstract(small.Line(), OptimConfig(players={"modle": {"lr": 1.0}}))


def test_a_fresh_state_counts_from_zero():
    shapes = abstract(small.Line(), OptimConfig())
    assert {shapes.step.dtype, shapes.skipped.dtype, shapes.streak.dtype} == {np.dtype("int32")}
    fresh = states.init(small.Line(), OptimConfig(), 10, jax.random.key(0))
    assert int(fresh.step) == int(fresh.skipped) == int(fresh.streak) == int(fresh.players["model"].updates) == 0
