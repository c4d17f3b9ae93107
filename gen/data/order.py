"""The order of examples: shuffle, then repeat, each a function of the place in an endless row.

The place g of an example falls in epoch g // n, and each epoch is its own permutation of the n records, so that an
epoch holds every record exactly once. (Repeating first and shuffling the result would not.) Grain's `index_shuffle`
evaluates a permutation at one point, without a table: there is no state to save.

    [record_at(place, n=3, seed=0) for place in range(6)]       # two permutations of 0, 1, 2
"""

import functools

from gen import rng


def record_at(place: int, n: int, seed: int) -> int:
    """The number, in [0, n), of the record at `place` >= 0 of the row that `seed` makes of n records."""
    from grain.experimental import index_shuffle  # which takes a second, and a program's --plan has no data

    epoch, index = divmod(place, n)
    return index_shuffle(index, max_index=n - 1, seed=_epoch_seed(seed, epoch), rounds=4)


@functools.lru_cache(maxsize=64)
def _epoch_seed(seed: int, epoch: int) -> int:
    # Drawn, as seed + epoch would make epoch 1 of seed 0 the same as epoch 0 of seed 1.
    return int(rng.host(seed, "shuffle", epoch).integers(2**32))
