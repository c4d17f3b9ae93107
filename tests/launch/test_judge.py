"""The demo's judge on pictures whose truth is known: real scans, and scans spoilt in known ways."""

import numpy as np
import pytest

from gen.data.digits import INKS, PAPERS, Digits
from launch.demo.judge import Judge, Verdict, score, separate


@pytest.fixture(scope="module")
def real():
    source = Digits("held_out", 32)
    records = [source[i] for i in range(0, len(source), 4)]
    return np.stack([r["image"] for r in records]), np.array([(r["digit"], r["ink"], r["paper"]) for r in records])


@pytest.fixture(scope="module")
def judge():
    return Judge()


def test_real_scans_are_seen_for_what_they_are(real, judge):
    images, truth = real
    scores = score(judge(images), *truth.T)
    assert scores["n"] == len(images) and scores["ink"] == scores["paper"] == 1
    assert scores["digit"] > 0.97 and scores["all"] == scores["digit"]


def test_wrong_colours_are_seen_and_leave_the_digit_alone(real, judge):
    images, truth = real
    ink, paper, intensity = separate(images)
    np.testing.assert_array_equal((ink, paper), truth.T[1:])
    inks, papers = (np.array(list(colours.values()), float) for colours in (INKS, PAPERS))
    other = (truth[:, 1] + 1) % len(INKS)
    tinted = papers[paper][:, None, None] + (inks[other] - papers[paper])[:, None, None] * intensity[..., None]
    scores = score(judge(tinted.round().astype(np.uint8)), *truth.T)
    assert scores["ink"] == 0 == scores["all"] and scores["paper"] == 1 and scores["digit"] > 0.97


def test_noise_is_no_digit(real, judge):
    _, truth = real
    noise = np.random.default_rng(0).integers(0, 256, (len(truth), 32, 32, 3)).astype(np.uint8)
    assert score(judge(noise), *truth.T)["all"] < 0.05


def test_all_means_all_three():
    verdict = Verdict(np.array([1, 1, 2]), np.array([0, 1, 1]), np.array([2, 2, 2]))
    scores = score(verdict, np.array([1, 1, 1]), np.array([0, 0, 1]), np.array([2, 2, 2]))
    assert scores == {"n": 3, "digit": 2 / 3, "ink": 2 / 3, "paper": 1.0, "all": 1 / 3}
