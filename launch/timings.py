"""Median times of compiled programs, each taking turns with a large matrix product, so that both meet the same noise.

    model = Model.make("decoder", cfg, upstream_models, mesh)
    figure = train_step(model, repeats=5)
    figure.seconds, figure.flops / figure.seconds, figure.matmul
"""

import functools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from gen import flops, rng, spec
from gen import mesh as meshes
from gen.nn import conv
from gen.nn.transformer import TransformerConfig, transformer, transformer_spec
from gen.sample.unclip import draw_embedding
from gen.spec import Params
from gen.tasks.base import Batch, Context, Task
from gen.tasks.prior import PriorTask, moments, read_caption
from gen.train import state as states
from gen.train import step
from gen.train.config import RunConfig
from gen.train.state import State
from launch import catalog

# Batch, rows, columns and channels of the 3 x 3 convolutions that are timed.
CONVOLUTIONS = ((64, 4, 4, 128), (64, 8, 8, 96), (64, 16, 16, 64), (8, 64, 64, 128), (2, 64, 64, 320))

DEPTHS = (4, 48)
PICTURES = 16  # drawn by a sampler at once
VALUES = 64  # pixels and tokens are drawn below this, which all vocabularies have


class Figure(NamedTuple):
    """What one call takes (a median, in seconds), computes and makes; 0 where that says nothing.

    `matmul` is the FLOP/s of a large float32 matrix product, times the number of devices that the call uses.
    """

    name: str
    seconds: float
    flops: int = 0
    matmul: float = 0.0
    rows: int = 0


def medians(calls: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Seconds of each call, which take turns `repeats` times, after one turn that is not timed."""
    turns = [[seconds(call) for call in calls] for _ in range(repeats + 1)]
    return [statistics.median(times) for times in zip(*turns[1:], strict=True)]


def seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - began


class Product(NamedTuple):
    """A large square matrix product on one device, at jax's default precision."""

    call: Callable[[], jax.Array]
    flops: int


@functools.cache
def product(dtype: str = "float32") -> Product:
    size = 2048 if jax.default_backend() == "cpu" else 8192
    x = jax.random.normal(jax.random.key(0), (size, size), dtype)
    multiply = jax.jit(jnp.matmul)
    return Product(lambda: multiply(x, x), 2 * size**3)


def matmul(dtype: str, repeats: int) -> Figure:
    (taken,) = medians([product(dtype).call], repeats)
    return Figure(f"matmul {dtype}", taken, product(dtype).flops)


class Model(NamedTuple):
    """A stage with random weights, on a mesh."""

    name: str
    cfg: RunConfig
    task: Task
    mesh: Mesh
    frozen: Mapping[str, Params]
    state: State

    @classmethod
    def make(cls, name: str, cfg: RunConfig, upstream: Mapping[str, Any], mesh: Mesh) -> "Model":
        """`upstream` has the model configs of the stages whose weights this one reads."""
        task, key = catalog.make(cfg, upstream), jax.random.key(cfg.seed)
        draw = lambda specs: jax.jit(spec.initialize, static_argnums=0, out_shardings=meshes.shardings(specs, mesh))
        frozen = {stage: draw(Hashable(specs))(Hashable(specs), key) for stage, specs in task.frozen.items()}
        return cls(name, cfg, task, mesh, frozen, state)

    def batch(self, size: int) -> Batch:
        """Random pixels and tokens."""
        draw = rng.host(self.cfg.seed, "bench")
        place = lambda x: jax.device_put(x, meshes.batch_sharding(self.mesh))
        return {name: place(draw.integers(0, VALUES, x.shape).astype(x.dtype)) for name, x in self.task.batch(size).items()}
