"""Trains a task of your own, least squares, on examples of your own, with the loop, checkpoints and resume of gen."""

import sys

import jax
import jax.numpy as jnp
import numpy as np

import gen
from gen import spec
from gen.spec import Spec
from gen.tasks.base import Player, Task, mean_of


class LeastSquares(Task):
    """y = w x: weights are Specs, a batch is shapes, and a loss is a sum with its weight."""

    players = {"model": Player({"w": Spec((3,), (None,), spec.zeros)})}

    def batch(self, size):
        shapes = {"x": (size, 3), "y": (size,)}
        return {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}

    def loss(self, player, params, batch, context):
        return mean_of((batch["x"] @ params["w"] - batch["y"]) ** 2, batch.get("weight")), {}


rows = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
examples = [{"x": x, "y": x @ np.float32([1, 2, 3])} for x in rows]
recipe = {"train": {"steps": 200, "batch_size": 16}, "optim": {"lr": 0.1}, "evals": {"every": 200, "samples": 0}}
run = gen.train(recipe, sys.argv[1], task=LeastSquares(), data=examples)
print(run.load().params["model"]["w"])
