"""Training step and sampler of each stage of a stack, with random weights, pictures and captions.

for model in models(stack_config, ["decoder"]):
    measure_step(model, repeats=5), measure_sampler(model, repeats=3)
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array

from gen import flops, rng, spec
from gen import mesh as meshes
from gen.runs import registry, stack
from gen.sample.unclip import draw_embedding
from gen.spec import Params
from gen.tasks.base import Batch, LossContext, Task
from gen.tasks.prior import PriorTask, moments, read_caption
from gen.training import state as states
from gen.training.compiled_step import Program
from gen.training.config import RunConfig
from gen.training.state import State
from launch.bench.timing import Figure, measure

PICTURES = 16  # drawn by a sampler at once
VALUES = 64  # pixels and token ids are drawn below this, which every vocabulary has


class Model(NamedTuple):
    """A stage with random weights, on a mesh."""

    name: str
    cfg: RunConfig
    task: Task
    mesh: Mesh
    program: Program
    state: State
    frozen: Mapping[str, Params]


def models(data: Mapping[str, Any], names: Collection[str]) -> Iterator[Model]:
    """The named stages of a stack's config, one after the other."""
    stages, places = stack.stage_configs(data, Path())
    cfgs = stack.resolve(stages, places)
    for name in names:
        cfg = cfgs[name]
        yield make(name, cfg, {kind: cfgs[stage].model for kind, stage in cfg.upstream.items()}, jax.devices())


def make(name: str, cfg: RunConfig, upstream: Mapping[str, Any], devices: Sequence[jax.Device]) -> Model:
    """`upstream` has the model configs of the stages whose weights this one reads."""
    mesh = meshes.make(cfg.mesh, devices)
    meshes.check_batch(cfg.train.batch_size, cfg.train.accumulate, mesh)
    task, key = registry.make(cfg, upstream), jax.random.key(cfg.seed)
    program = Program.of(task, cfg, mesh)

    def draw(specs: spec.Specs) -> Params:
        return jax.jit(lambda key: spec.initialize(specs, key), out_shardings=meshes.shardings(specs, mesh))(key)

    frozen, origin = ({n: draw(read.specs) for n, read in reads.items()} for reads in (task.frozen, task.origin))
    return Model(name, cfg, task, mesh, program, program.begin(key, origin), frozen)


def random_batch(model: Model, size: int) -> Batch:
    draw = rng.host(model.cfg.seed, "bench")

    def fill(x: jax.ShapeDtypeStruct) -> Array:
        return jax.device_put(draw.integers(0, VALUES, x.shape).astype(x.dtype), meshes.batch_sharding(model.mesh))

    return jax.tree.map(fill, model.task.batch(size))


def measure_step(model: Model, repeats: int) -> Figure:
    """The compiled training step, as the loop runs it; reading data is not part of it."""
    cfg, state, key = model.cfg, model.state, jax.random.key(model.cfg.seed)
    batch = random_batch(model, cfg.train.batch_size)
    compiled = model.program.step

    def advance() -> Mapping[str, Array]:
        nonlocal state
        state, metrics = compiled(state, model.frozen, batch, key)
        return metrics

    with jax.set_mesh(model.mesh):
        work = flops.count(compiled, state, model.frozen, batch, key)
        return measure(f"{model.name}, training step", advance, work.flops, cfg.train.batch_size, repeats)


def measure_sampler(model: Model, repeats: int) -> Figure:
    """All steps of the sampler, under one jit, with the frozen encoders that make its conditions."""
    batch = {**random_batch(model, PICTURES), "row": jnp.arange(PICTURES, dtype=jnp.int32)}
    weights, key = states.weights(model.state), jax.random.key(model.cfg.seed)

    def draw(weights: Mapping[str, Params], frozen: Mapping[str, Params], extra: Params, batch: Batch) -> Any:
        return sampler(model.task)(weights, batch, LossContext(weights, frozen, extra, key, jnp.int32(0)))

    compiled, inputs = jax.jit(draw), (weights, model.frozen, model.state.extra, batch)
    with jax.set_mesh(model.mesh):
        work = flops.count(draw, *inputs)
        return measure(f"{model.name}, sampler", lambda: compiled(*inputs), work.flops, PICTURES, repeats)


def samples(model: Model) -> bool:
    """Whether the stage draws anything; CLIP does not."""
    return hasattr(model.cfg.task, "sampler")


def sampler(task: Task) -> Callable[[Mapping[str, Params], Batch, LossContext], Any]:
    """What the task shows in training; of the prior, which shows nothing, its embeddings."""
    if not isinstance(task, PriorTask):
        return task.sample

    def draw(weights: Mapping[str, Params], batch: Batch, context: LossContext) -> Array:
        return draw_embedding(
            weights["model"],
            read_caption(context.frozen["clip"], batch["tokens"], task.clip, task.model),
            context.extra["statistics"],
            moments(context.extra, task.cfg),
            rng.per_example(context.key, batch["row"]),
            model=task.model,
            process=task.cfg.process,
            scale=task.cfg.scale,
            sampler=task.cfg.sampler,
            candidates=task.cfg.candidates,
        )

    return draw
