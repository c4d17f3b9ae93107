"""The seam between what is trained (a Task) and how (the one loop in gen/training).

A task has players, each with weights, a loss and an optimizer of its own; most tasks have one. One step takes one
global batch: `prepare` it once without gradients, cut it into inner updates, and in each let the players whose turn
it is move in order, later ones seeing what earlier ones became.

A loss is a sum and a weight, not a mean: the loop adds up both over micro-batches and divides once, so that
accumulating gradients gives the one big batch exactly. A task whose examples interact overrides `gradients`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from gen import rng
from gen.bounds import Bounded, Count
from gen.spec import Params, Specs

type Batch = Mapping[str, Any]
type Metrics = Mapping[str, "Mean"]


class Mean(NamedTuple):
    """A weighted sum and the sum of the weights; micro-batches, hosts and evaluation batches just add.

    Those that a person sees are scalars; others may be arrays, under names that begin with "_".
    """

    total: Float[Array, "..."] | float
    weight: Float[Array, ""] | float

    def value(self) -> Any:
        return self.total / self.weight


def mean_of(per_example_B: Float[Array, "B"], weight_B: Float[Array, "B"] | None = None) -> Mean:
    """A Mean over a batch; `weight_B` is 0 for rows that only fill a last evaluation batch."""
    if weight_B is None:
        return Mean(per_example_B.sum(), float(per_example_B.shape[0]))
    return Mean((per_example_B * weight_B).sum(), weight_B.sum())


@dataclasses.dataclass(frozen=True)
class Player(Bounded):
    """Weights that are trained together; they move at every `period`-th step."""

    specs: Specs
    period: Count = 1


class WeightRef(NamedTuple):
    """Weights of another run: which, by its name in the config's `upstream`, and the player there, or "extra"."""

    run: str
    specs: Specs
    part: str = "model"


class LossContext(NamedTuple):
    """What a loss sees beside its own weights and the batch.

    `others` are all players' weights as they are now, `frozen` weights of other runs (never changed), `extra` the
    task's state beside the weights. `key` belongs to this step and player; `keys` makes those of its examples.
    `training` is None, and dropout off, in evaluation and sampling.
    """

    others: Mapping[str, Params]
    frozen: Mapping[str, Params]
    extra: Params
    key: Key[Array, ""]
    step: Int[Array, ""]
    training: Int[Array, ""] | None = None

    def keys(self, purpose: str, row_B: Int[Array, "B"]) -> Key[Array, "B"]:
        """A key for each row of the batch, for one purpose."""
        return rng.per_example(rng.fold(self.key, purpose), row_B)


class Task:
    """What is trained. Subclasses are small: they name weights, a batch and a loss; everything else has a default."""

    players: Mapping[str, Player]
    frozen: Mapping[str, WeightRef] = {}  # read in every step, never changed
    origin: Mapping[str, WeightRef] = {}  # read once, as a run begins
    extra: Specs = {}
    inner_updates: int = 1

    def unused(self) -> Mapping[str, str]:
        """The keys of a config that were set and act on nothing in this task, each with why."""
        return {}

    def begin(self, drawn: Mapping[str, Params], origin: Mapping[str, Params]) -> Mapping[str, Params]:
        """The players' first weights, from fresh ones and those of `origin`; by default the fresh ones."""
        return drawn

    def updates(self, player: str, steps: int) -> int:
        """How many updates a player makes in so many steps; its learning-rate schedule spans them."""
        return -(-steps // self.players[player].period) * self.inner_updates

    def rows(self, size: int) -> int:
        """How many rows one of `inner_updates` updates takes of a batch of `size`."""
        return size

    def batch(self, size: int) -> Batch:
        """The abstract global batch (jax.ShapeDtypeStruct leaves) of `size` rows."""
        raise NotImplementedError("abstract")

    def prepare(self, players: Mapping[str, Params], batch: Batch, context: LossContext) -> Batch:
        """What the losses read, made once a step without gradients: frozen encoders, rollouts."""
        return batch

    def minibatch(self, prepared: Batch, update: Int[Array, ""], key: Key[Array, ""]) -> Batch:
        """The batch of one of `inner_updates` updates."""
        return prepared

    def loss(self, player: str, params: Params, batch: Batch, context: LossContext) -> tuple[Mean, Metrics]:
        """The player's loss as a sum with its weight, and metrics."""
        raise NotImplementedError("abstract")

    def gradients(
        self, player: str, params: Params, batch: Batch, context: LossContext, micro_batches: int
    ) -> tuple[Mean, Metrics, Params]:
        """The loss, metrics and gradient of the loss's *sum*, over `micro_batches` passes."""
        return accumulate(lambda p, b: self.loss(player, p, b, context), params, batch, micro_batches)

    def after(self, players: Mapping[str, Params], prepared: Batch, metrics: Metrics, context: LossContext) -> Params:
        """The next `extra`: what the step learned beside the weights."""
        return context.extra

    def evaluate(self, players: Mapping[str, Params], batch: Batch, context: LossContext) -> Metrics:
        """Metrics of a held-out batch (with a `weight` per row), added up over batches; by default the losses."""
        prepared = self.prepare(players, batch, context)
        metrics: dict[str, Mean] = {}
        for name in self.players:
            loss, more = self.loss(name, players[name], prepared, context._replace(others=players))
            metrics |= {"loss" if len(self.players) == 1 else f"{name}/loss": loss, **more}
        return metrics

    def derived(self, metrics: dict[str, Any]) -> dict[str, float]:
        """Further numbers that follow from evaluated means, as perplexity does; by default none.

        Arrays of `metrics`, under names that begin with "_", are NumPy's.
        """
        return {}

    def sample(self, players: Mapping[str, Params], batch: Batch, context: LossContext) -> Mapping[str, Array]:
        """What a person looks at, made from a held-out batch; by default nothing.

        Pictures, {name: (N, Y, X, 3) in [-1, 1]}, or rows of token ids, {name: (N, T)}.
        """
        return {}


def micro_batch(batch: Batch, count: int) -> Batch:
    """A batch as `count` stacked micro-batches; each takes every count-th row, so all devices share each of them."""
    return jax.tree.map(lambda x: x.reshape(x.shape[0] // count, count, *x.shape[1:]).swapaxes(0, 1), batch)


def accumulate(loss, params: Params, batch: Batch, count: int) -> tuple[Mean, Metrics, Params]:
    """Loss, metrics and gradient of the loss's sum, added up over `count` micro-batches in one scan."""

    def total(params, batch):
        mean, metrics = loss(params, batch)
        return mean.total, (mean, metrics)

    def gradient(batch):
        grads, (mean, metrics) = jax.grad(total, has_aux=True)(params, batch)
        return mean, metrics, grads

    if count == 1:
        return gradient(batch)
    parts = micro_batch(batch, count)
    start = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(gradient, _first(parts)))
    add = lambda so_far, part: (jax.tree.map(jnp.add, so_far, gradient(part)), None)
    return jax.lax.scan(add, start, parts)[0]


def _first(stacked: Batch) -> Batch:
    return jax.tree.map(lambda x: x[0], stacked)
