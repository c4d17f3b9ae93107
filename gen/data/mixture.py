"""Several data sets as one, in fixed proportions: which part has place g, and which place within the part it is.

Places come in blocks of 1024. Each block holds the same number of each part, its share rounded so that the numbers add
up (largest remainder), in an order of its own. So proportions are exact in every block, the places of a part are
0, 1, 2, ... with none left out, and each is found without looking at those before it.

    shares = block_shares({"code": 3.0, "letters": 1.0})        # {"code": 768, "letters": 256}
    part_at(10**9, tuple(shares.values()), seed=0)              # part 0, code, and its place near 3/4 of that
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from gen import rng
from gen.bounds import Bounded, Positive
from gen.data.corpora import KINDS
from gen.data.kinds import state_rule

BLOCK = 1024


@dataclasses.dataclass(frozen=True)
class MixturePart(Bounded):
    """A corpus (gen.data.corpora, with `options`) and how much of it there is, next to the weights of the others."""

    source: str
    weight: Positive
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        state_rule(self, KINDS)


def block_shares(weights: Mapping[str, float]) -> dict[str, int]:
    """How many places of each block each part has. Raises ValueError for weights that are not positive, or too small
    beside the others for one place."""
    if any(not 0 < weight < float("inf") for weight in weights.values()):
        raise ValueError(f"the weights of data.mixture must be positive numbers, got {dict(weights)}")
    total = sum(weights.values())
    exact = {name: BLOCK * weight / total for name, weight in weights.items()}
    shares = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: shares[name] - exact[name])  # stable: equal ones as they are written
    for name in by_remainder[: BLOCK - sum(shares.values())]:
        shares[name] += 1
    if small := [name for name, share in shares.items() if not share]:
        raise ValueError(f"the weight of {small[0]!r} in data.mixture is less than 1/{BLOCK} of all; raise it")
    return shares


def part_at(place: int, shares: tuple[int, ...], seed: int) -> tuple[int, int]:
    """The number of the part at `place`, and the place within that part."""
    block, index = divmod(place, BLOCK)
    part_K, rank_K = _block(block, shares, seed)
    part = int(part_K[index])
    return part, block * shares[part] + int(rank_K[index])


@functools.lru_cache(maxsize=16)
def _block(block: int, shares: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The part at each of the K places of a block, and how many of the same part are before it in the block."""
    part_K = rng.host(seed, "mixture", block).permutation(np.repeat(np.arange(len(shares)), shares))
    rank_K = np.zeros(BLOCK, np.int64)
    for part, share in enumerate(shares):
        rank_K[part_K == part] = np.arange(share)
    return part_K, rank_K
