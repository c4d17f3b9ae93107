"""A task around another: `inner` says what is learned, the wrapper from which weights, or in which form they are kept.

    W = whole(w)            what the inner task reads, of what is trained
    dL/dw = dL/dW dW/dw     the inner task's own gradient, led back

So the inner task need not know: how it takes micro-batches, samples and evaluates holds for any w.
"""

from collections.abc import Mapping
from typing import Any

import jax
from jaxtyping import Array, Int, Key

from gen.spec import Params
from gen.tasks.base import Batch, LossContext, Mean, Metrics, Task


class TaskWrapper(Task):
    """The inner task as it is; subclasses say what differs."""

    def __init__(self, inner: Task):
        self.inner = inner
        self.players, self.frozen, self.origin = inner.players, inner.frozen, inner.origin
        self.extra, self.inner_updates = inner.extra, inner.inner_updates

    def unused(self) -> Mapping[str, str]:
        return self.inner.unused()

    def merged_params(self, player: str, params: Params, frozen: Mapping[str, Params]) -> Params:
        """A player's weights as the inner task reads them."""
        return params

    def begin(self, drawn: Mapping[str, Params], origin: Mapping[str, Params]) -> Mapping[str, Params]:
        return self.inner.begin(drawn, origin)

    def updates(self, player: str, steps: int) -> int:
        return self.inner.updates(player, steps)

    def rows(self, size: int) -> int:
        return self.inner.rows(size)

    def batch(self, size: int) -> Batch:
        return self.inner.batch(size)

    def prepare(self, players: Mapping[str, Params], batch: Batch, context: LossContext) -> Batch:
        return self.inner.prepare(self._merged(players, context), batch, self._inside(context))

    def minibatch(self, prepared: Batch, update: Int[Array, ""], key: Key[Array, ""]) -> Batch:
        return self.inner.minibatch(prepared, update, key)

    def loss(self, player: str, params: Params, batch: Batch, context: LossContext) -> tuple[Mean, Metrics]:
        whole = self.merged_params(player, params, context.frozen)
        return self.inner.loss(player, whole, batch, self._inside(context))

    def gradients(
        self, player: str, params: Params, batch: Batch, context: LossContext, micro_batches: int
    ) -> tuple[Mean, Metrics, Params]:
        whole, vjp = jax.vjp(lambda own: self.merged_params(player, own, context.frozen), params)
        mean, metrics, grads = self.inner.gradients(player, whole, batch, self._inside(context), micro_batches)
        return mean, metrics, vjp(grads)[0]

    def after(self, players: Mapping[str, Params], prepared: Batch, metrics: Metrics, context: LossContext) -> Params:
        return self.inner.after(self._merged(players, context), prepared, metrics, self._inside(context))

    def evaluate(self, players: Mapping[str, Params], batch: Batch, context: LossContext) -> Metrics:
        return self.inner.evaluate(self._merged(players, context), batch, self._inside(context))

    def derived(self, metrics: dict[str, Any]) -> dict[str, float]:
        return self.inner.derived(metrics)

    def sample(self, players: Mapping[str, Params], batch: Batch, context: LossContext) -> Mapping[str, Array]:
        return self.inner.sample(self._merged(players, context), batch, self._inside(context))

    def _merged(self, players: Mapping[str, Params], context: LossContext) -> dict[str, Params]:
        return {name: self.merged_params(name, params, context.frozen) for name, params in players.items()}

    def _inside(self, context: LossContext) -> LossContext:
        return context._replace(others=self._merged(context.others, context))
