"""Judging pictures of digits without any model of gen: pixel statistics for the colours, scikit-learn for the digit.

A picture should be paper + (ink - paper) * intensity. For each pair of a paper and an ink the intensity that fits a
pixel best is its projection on the line between the two colours; the pair that leaves the least is what we see. The
intensities of that pair, averaged down to 8 x 8, go to a support-vector classifier fitted on the real training scans.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from sklearn.svm import SVC

from gen.data.digits import INKS, PAPERS, scans

SCAN = 8  # pixels on the side of a scan


class Verdict(NamedTuple):
    """What is seen in each picture, as indices into DIGITS, INKS and PAPERS."""

    digit_B: Int[np.ndarray, "B"]
    ink_B: Int[np.ndarray, "B"]
    paper_B: Int[np.ndarray, "B"]


class Judge:
    def __init__(self):
        scans_NYX, digit_N = scans("train")
        self._classifier = SVC(gamma="scale", C=10.0).fit(scans_NYX.reshape(len(scans_NYX), -1), digit_N)

    def __call__(self, image_BYXC: UInt8[np.ndarray, "B Y X 3"]) -> Verdict:
        """The pictures' side must be a multiple of 8 pixels."""
        ink_B, paper_B, intensity_BYX = separate(image_BYXC)
        step = image_BYXC.shape[1] // SCAN
        small_BYX = intensity_BYX.reshape(len(intensity_BYX), SCAN, step, SCAN, step).mean((2, 4))
        return Verdict(self._classifier.predict(small_BYX.reshape(len(small_BYX), -1)), ink_B, paper_B)


def separate(
    image_BYXC: UInt8[np.ndarray, "B Y X 3"],
) -> tuple[Int[np.ndarray, "B"], Int[np.ndarray, "B"], Float[np.ndarray, "B Y X"]]:
    """Ink, paper and intensity (0 paper, 1 ink) of each picture, by least squares over all pairs of colours."""
    pixels_BYXC = image_BYXC.astype(np.float64)
    left, intensities = [], []
    for ink in INKS.values():
        for paper in PAPERS.values():
            line_C = np.subtract(ink, paper).astype(np.float64)
            offset_BYXC = pixels_BYXC - paper
            intensity_BYX = np.clip(offset_BYXC @ line_C / (line_C @ line_C), 0, 1)
            left.append(np.square(offset_BYXC - intensity_BYX[..., None] * line_C).sum((1, 2, 3)))
            intensities.append(intensity_BYX)
    best_B = np.argmin(left, axis=0)
    return best_B // len(PAPERS), best_B % len(PAPERS), np.stack(intensities)[best_B, np.arange(len(best_B))]


def score(verdict: Verdict, digit_B: np.ndarray, ink_B: np.ndarray, paper_B: np.ndarray) -> dict[str, float]:
    """The share of pictures that show what they should, by attribute and in all three."""
    right = {
        "digit": verdict.digit_B == digit_B,
        "ink": verdict.ink_B == ink_B,
        "paper": verdict.paper_B == paper_B,
    }
    shares = {name: float(hits.mean()) for name, hits in right.items()}
    everything = np.logical_and.reduce(list(right.values()))
    return {"n": len(digit_B), **shares, "all": float(everything.mean())}
