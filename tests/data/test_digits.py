"""Digits: what is held out stays out, everything else is there, and a pixel is paper + (ink - paper) * intensity."""

import itertools
import re

import numpy as np
import pytest
from sklearn.datasets import load_digits

from gen.data import digits
from gen.data.digits import Digits


@pytest.fixture(scope="module")
def splits():
    return {split: Digits(split, size=8) for split in digits.SPLITS}


def labels(source) -> np.ndarray:
    """(digit, ink, paper, scan) of every record."""
    digit_of = load_digits().target
    return np.array([(digit_of[scan], ink, paper, scan) for scan, ink, paper in source._items])


def test_labels_are_those_of_the_records(splits):
    for index in (0, 1, 500, len(splits["train"]) - 1):
        record = splits["train"][index]
        got = [record[name] for name in ("digit", "ink", "paper", "scan")]
        assert got == labels(splits["train"])[index].tolist()


def test_held_out_combinations_are_never_trained(splits):
    held_out = set(digits.held_out_combinations())
    assert len(held_out) == 24 == 10 * 6 * 4 // 10
    seen = {split: set(map(tuple, labels(source)[:, :3].tolist())) for split, source in splits.items()}
    assert not seen["train"] & held_out and not seen["test"] & held_out
    assert seen["held_out"] == held_out
    assert len(seen["train"]) == len(seen["test"]) == 240 - 24


def test_every_digit_ink_paper_and_pair_of_them_is_trained(splits):
    trained = labels(splits["train"])[:, :3]
    sizes = (10, 6, 4)
    for a, b in itertools.combinations(range(3), 2):
        assert len(set(map(tuple, trained[:, (a, b)].tolist()))) == sizes[a] * sizes[b]


def test_scans_for_testing_are_a_fifth_of_each_digit_and_not_trained(splits):
    scans = {split: set(labels(source)[:, 3].tolist()) for split, source in splits.items()}
    assert not scans["train"] & scans["test"] and scans["held_out"] <= scans["test"]
    assert scans["train"] | scans["test"] == set(range(1797))
    digit_of = load_digits().target
    share = np.bincount(digit_of[sorted(scans["test"])]) / np.bincount(digit_of)
    assert np.all((0.15 < share) & (share < 0.3)), share


def test_tint_in_exact_arithmetic(splits):
    scans = load_digits().images.astype(int)
    inks, papers = list(digits.INKS.values()), list(digits.PAPERS.values())
    for index in range(0, len(splits["train"]), 997):
        record = splits["train"][index]
        ink, paper = inks[record["ink"]], papers[record["paper"]]
        for y, x, c in itertools.product(range(8), range(8), range(3)):
            sixteenths = 16 * paper[c] + (ink[c] - paper[c]) * scans[record["scan"]][y, x]
            assert abs(16 * int(record["image"][y, x, c]) - sixteenths) <= 8  # rounded to the nearest


def test_enlarging_keeps_flat_scans_and_the_mean():
    flat = digits.enlarge(np.full((1, 8, 8), 0.25, np.float32), 32)
    np.testing.assert_allclose(flat, 0.25, atol=1e-6)
    ramp = np.broadcast_to(np.linspace(0.2, 0.8, 8, dtype=np.float32), (1, 8, 8))
    np.testing.assert_allclose(digits.enlarge(np.ascontiguousarray(ramp), 16).mean(), 0.5, atol=1e-3)
    assert Digits("held_out", size=32)[0]["image"].shape == (32, 32, 3)


def test_colours_can_be_told_apart():
    inks, papers = (np.array(list(colours.values()), float) for colours in (digits.INKS, digits.PAPERS))
    assert len(inks) >= 6 and len(papers) >= 4

    def nearest(a, b):
        distance = np.linalg.norm(a[:, None] - b[None], axis=-1)
        return distance[distance > 0].min()

    assert nearest(inks, inks) >= 130 and nearest(papers, papers) >= 90 and nearest(inks, papers) >= 180


def test_captions_name_their_combination_and_no_other():
    names = [*map(str, range(10)), *digits.DIGITS], list(digits.INKS), list(digits.PAPERS)
    seen = set()
    for digit, ink, paper in itertools.product(range(10), range(6), range(4)):
        for caption in digits.captions(digit, ink, paper):
            words = re.findall(r"\w+", caption)
            found = [[name for name in known if name in words] for known in names]
            assert found[0] in ([str(digit)], [digits.DIGITS[digit]])
            assert found[1:] == [[names[1][ink]], [names[2][paper]]]
            seen.add(caption)
    assert len(seen) == 240 * len(digits.TEMPLATES)


def test_captions_of_a_split_are_those_of_its_records(splits):
    source = splits["held_out"]
    listed = list(source.captions())
    assert len(listed) == len(set(listed)) == 24 * len(digits.TEMPLATES)
    assert {caption for i in range(len(source)) for caption in source[i]["caption"]} == set(listed)


def test_fingerprints(splits):
    assert Digits("train", size=8).fingerprint == splits["train"].fingerprint
    others = [*splits.values(), Digits("train", size=16)]
    assert len({source.fingerprint for source in others}) == 4


@pytest.mark.parametrize(("split", "size"), [("valid", 16), ("train", 4)])
def test_bad_requests(split, size):
    with pytest.raises(ValueError, match="train, test, held_out|use 8 or more"):
        Digits(split, size)
