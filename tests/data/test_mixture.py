"""Mixtures: exact shares in every block, each part's places 0, 1, 2, ..., and no state."""

import pytest

from gen.data.mixture import BLOCK, block_shares, part_at


@pytest.mark.parametrize("weights", [(1.0,), (3.0, 1.0), (1.0, 1.0, 1.0), (0.7, 0.2, 0.1), (1000.0, 1.0)])
def test_shares_are_exact_in_every_block_and_places_follow_each_other(weights):
    shares = tuple(block_shares({str(i): weight for i, weight in enumerate(weights)}).values())
    assert sum(shares) == BLOCK
    assert all(abs(share - BLOCK * weight / sum(weights)) < 1 for share, weight in zip(shares, weights, strict=True))
    found = [part_at(place, shares, seed=1) for place in range(3 * BLOCK)]
    for block in range(3):
        parts = [part for part, _ in found[block * BLOCK : (block + 1) * BLOCK]]
        assert tuple(parts.count(part) for part in range(len(shares))) == shares
    for part, share in enumerate(shares):
        assert [place for which, place in found if which == part] == list(range(3 * share))


def test_any_place_is_found_without_those_before():
    shares = (600, 424)
    assert part_at(10**12, shares, seed=0) == part_at(10**12, shares, seed=0)
    part, place = part_at(10**9 * BLOCK + 5, shares, seed=0)
    assert 10**9 * shares[part] <= place < (10**9 + 1) * shares[part]


def test_seeds_and_blocks_have_orders_of_their_own():
    def parts(seed: int, block: int) -> tuple[int, ...]:
        return tuple(part_at(block * BLOCK + i, (512, 512), seed)[0] for i in range(BLOCK))

    assert len({parts(seed, block) for seed in range(3) for block in range(3)}) == 9


def test_equal_remainders_go_to_the_first_and_names_stay():
    assert block_shares({"b": 1.0, "a": 1.0, "c": 1.0}) == {"b": 342, "a": 341, "c": 341}
    assert block_shares({"code": 3.0, "letters": 1.0}) == {"code": 768, "letters": 256}


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan")])
def test_weights_that_are_none(weight):
    with pytest.raises(ValueError, match="must be positive numbers"):
        block_shares({"a": 1.0, "b": weight})


def test_a_part_that_would_never_come():
    with pytest.raises(ValueError, match="the weight of 'rare' in data.mixture is less than 1/1024 of all; raise it"):
        block_shares({"rare": 1e-6, "a": 1.0})
