"""Which keys a query sees: what every program for attention agrees on.

Queries and keys are numbered by slot, their place in the row (or in the cache). A query in slot i sees a key in slot j
when they are of one segment (a document, or the part of a row that is not padding), j <= i where attention is causal,
and i - j < window where there is a window.
"""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gen.bounds import Bounded, Count
from gen.nn import relative
from gen.nn.relative import Relative


@dataclasses.dataclass(frozen=True)
class MaskConfig(Bounded):
    """What is the same for all layers and rows. `window` in tokens, the query's own included."""

    causal: bool = False
    window: Count | None = None
    relative: Relative | None = None


class MaskInputs(NamedTuple):
    """Slots of the queries, by default 0, 1, ... (keys always have those), and segments, by default all one."""

    slot_BT: Int[Array, "#B T"] | None = None
    query_BT: Int[Array, "#B T"] | None = None
    key_BS: Int[Array, "#B S"] | None = None

    def slots(self, queries: int) -> Int[Array, "#B T"]:
        return jnp.arange(queries)[None] if self.slot_BT is None else self.slot_BT


NO_MASK = MaskInputs()


def segment_mask(segment_BT: Int[Array, "B T"] | None) -> MaskInputs:
    """Tokens that see those of their own document."""
    return MaskInputs(query_BT=segment_BT, key_BS=segment_BT)


def make_attention_mask(
    rule: MaskConfig, where: MaskInputs, distance_BTS: Int[Array, "#B T S"]
) -> Bool[Array, "#B T S"] | None:
    """True where a query sees a key, `distance_BTS` slots behind it; None where everything is seen."""
    seen: list[Bool[Array, "#B T S"]] = []
    if rule.causal:
        seen.append(distance_BTS >= 0)
    if rule.window is not None:
        seen.append(jnp.abs(distance_BTS) < rule.window)
    if where.query_BT is not None and where.key_BS is not None:
        seen.append(where.query_BT[:, :, None] == where.key_BS[:, None, :])
    if not seen:
        return None
    every = seen[0]
    for part in seen[1:]:
        every = every & part
    return every


def bias(
    rule: MaskConfig, table: Float[Array, "buckets H"] | None, distance_BTS: Int[Array, "#B T S"], heads: int
) -> Float[Array, "#B H T S"] | None:
    """What is added to the scores, by distance; None for nothing."""
    if rule.relative is None:
        return None
    return relative.bias(rule.relative, table, distance_BTS, heads, rule.causal)
