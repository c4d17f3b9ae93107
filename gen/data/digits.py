"""Handwritten digits in coloured ink on coloured paper, with captions: real scans, with an exact truth to judge by.

The 1,797 scans of 8 x 8 pixels that scikit-learn bundles (Alpaydin and Kaynak 1998, Optical Recognition of
Handwritten Digits, UCI; the part by 13 writers) are enlarged and tinted as they are read:

    pixel = paper + (ink - paper) * intensity           intensity 0 (paper) to 1 (ink)

    Digits("train", size=16)[0]     # {"image": uint8 16 x 16 x 3, "caption": ("a handwritten zero in ...", ...), ...}

Two things are kept from training: about a fifth of the scans, and one tenth of the digit x ink x paper combinations.

    split       scans    combinations
    train       train    trained
    test        test     trained
    held_out    test     held out
"""

import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32, Int, UInt8
from PIL import Image
from sklearn.datasets import load_digits

from gen.data.source import Record, digest, is_test

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# Dark inks at least 130 apart in RGB, light papers at least 90, and every ink at least 180 from every paper, so that
# pixel statistics tell them from each other.
INKS = {
    "black": (0, 0, 0),
    "red": (200, 0, 0),
    "green": (0, 130, 0),
    "blue": (0, 0, 200),
    "purple": (160, 0, 160),
    "teal": (0, 130, 150),
}
PAPERS = {
    "white": (255, 255, 255),
    "yellow": (255, 236, 120),
    "pink": (255, 180, 200),
    "mint": (170, 235, 190),
}

TEMPLATES = (
    "a handwritten {word} in {ink} ink on {paper} paper",
    "the digit {digit}, written in {ink} on {paper} paper",
    "{paper} paper with a {ink} {word} on it",
    "a scan of the number {digit} in {ink} ink, on {paper} paper",
    "{word}, {ink} ink, {paper} paper",
)

TEST_SCANS = 0.2
SPLITS = ("train", "test", "held_out")


class Digits:
    """Each scan of the split in each of its combinations; the labels digit, ink and paper count in the order above,
    and scan is the number of the scan in scikit-learn."""

    def __init__(self, split: str, size: int):
        """`size` is the side of the images, 8 (the scans as they are) or more.

        Raises ValueError for another split or size.
        """
        if split not in SPLITS:
            raise ValueError(f"digits has no split {split!r}; its splits are {', '.join(SPLITS)}")
        if size < 8:
            raise ValueError(f"digits cannot be drawn at size {size}; the scans have 8 x 8 pixels, use 8 or more")
        self.name = f"digits ({split})"
        scans, self._digit_of = load_digits(return_X_y=True)
        self._intensity_NYX = enlarge(scans.reshape(-1, 8, 8).astype(np.float32) / 16, size)
        self._items = list(_items(split, self._digit_of))
        content = (self._intensity_NYX.tobytes(), repr((INKS, PAPERS, TEMPLATES, self._items)))
        self.fingerprint = digest("digits", split, size, *content)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Record:
        scan, ink, paper = self._items[index]
        digit = int(self._digit_of[scan])
        return {
            "image": tint(self._intensity_NYX[scan], ink, paper),
            "caption": captions(digit, ink, paper),
            "name": f"scan {scan}",
            "digit": digit,
            "ink": ink,
            "paper": paper,
            "scan": scan,
        }

    def captions(self) -> Iterator[str]:
        """Each caption of the split once."""
        combinations = dict.fromkeys((int(self._digit_of[scan]), ink, paper) for scan, ink, paper in self._items)
        for combination in combinations:
            yield from captions(*combination)


def _items(split: str, digit_of: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """(scan, ink, paper) for each record of the split."""
    for scan, digit in enumerate(digit_of):
        # By a hash: the scans run through the digits in order, so every n-th one would favour some digits.
        if is_test(f"digits/{scan}", TEST_SCANS) == (split != "train"):
            for ink, paper in itertools.product(range(len(INKS)), range(len(PAPERS))):
                if is_held_out(int(digit), ink, paper) == (split == "held_out"):
                    yield scan, ink, paper


def scans(split: str) -> tuple[Float32[np.ndarray, "N 8 8"], Int[np.ndarray, "N"]]:
    """The scans of "train" or "test" as they are, intensities 0 to 1, and the digit of each."""
    every_N64, digit_N = load_digits(return_X_y=True)
    chosen_N = np.array([is_test(f"digits/{scan}", TEST_SCANS) == (split == "test") for scan in range(len(digit_N))])
    return (every_N64.reshape(-1, 8, 8) / 16).astype(np.float32)[chosen_N], digit_N[chosen_N]


def is_held_out(digit: int, ink: int, paper: int) -> bool:
    """Whether no training image shows this combination.

    Each of the 24 pairs of ink and paper withholds one digit, so that every digit, ink and paper, and every pair of
    them, stays in training.
    """
    return digit == (ink + len(INKS) * paper) % len(DIGITS)


def held_out_combinations() -> list[tuple[int, int, int]]:
    """The (digit, ink, paper) that are kept out of training: 24 of 240."""
    every = itertools.product(range(len(DIGITS)), range(len(INKS)), range(len(PAPERS)))
    return [combination for combination in every if is_held_out(*combination)]


def describe(digit: int, ink: int, paper: int, template: int) -> str:
    """The caption of a combination by TEMPLATES[template]."""
    names = {"ink": list(INKS)[ink], "paper": list(PAPERS)[paper]}
    return TEMPLATES[template].format(digit=digit, word=DIGITS[digit], **names)


def captions(digit: int, ink: int, paper: int) -> tuple[str, ...]:
    """The captions of a combination, one by each template."""
    return tuple(describe(digit, ink, paper, template) for template in range(len(TEMPLATES)))


def enlarge(intensity_NYX: Float32[np.ndarray, "N Y X"], size: int) -> Float32[np.ndarray, "N {size} {size}"]:
    """Scans at `size` x `size`, bicubic; overshoot is clipped to [0, 1], as there is nothing beyond ink or paper."""
    enlarged = [Image.fromarray(scan).resize((size, size), Image.Resampling.BICUBIC) for scan in intensity_NYX]
    return np.clip(np.stack([np.asarray(scan) for scan in enlarged]), 0, 1)


def tint(intensity_YX: Float32[np.ndarray, "Y X"], ink: int, paper: int) -> UInt8[np.ndarray, "Y X 3"]:
    """The scan in this ink on this paper."""
    ink_C = np.array(list(INKS.values())[ink], np.float32)
    paper_C = np.array(list(PAPERS.values())[paper], np.float32)
    return np.rint(paper_C + (ink_C - paper_C) * intensity_YX[..., None]).astype(np.uint8)
