"""Crops of the two photographs that scikit-learn bundles: real detail for an upsampler to learn.

A pagoda by a lake and a dahlia, 427 x 640 pixels each (china.jpg and flower.jpg by danielbuechele and vultilion,
CC BY 2.0). The upper 299 rows of both are for training; the lowest 128 are for testing, and no crop reaches across.

    Photos("train", size=64, stride=8)[0]       # {"image": uint8 64 x 64 x 3, "caption": (...,), "photo": 0, ...}
"""

import itertools
from collections.abc import Iterator

from sklearn.datasets import load_sample_images

from gen.data.source import Record, digest

ROWS = {"train": (0, 299), "test": (299, 427)}  # the first row, and the first row below
CAPTIONS = ("a photograph of a pagoda by a lake", "a photograph of a dahlia")


class Photos:
    """The square crops of `size` whose corners lie on a grid of `stride` pixels; labels: photo, top, left."""

    def __init__(self, split: str, size: int, stride: int = 8):
        """Raises ValueError for another split, or a crop that does not fit its region."""
        if split not in ROWS:
            raise ValueError(f"photos has no split {split!r}; its splits are {', '.join(ROWS)}")
        first, end = ROWS[split]
        if not 0 < size <= end - first or stride < 1:
            raise ValueError(
                f"photos cannot cut {size} x {size} pixels every {stride} out of the {end - first} rows of its {split} "
                "split; use a smaller size and a stride of at least 1"
            )
        self.name = f"photos ({split})"
        self._size = size
        self._photos = load_sample_images().images
        _, width, _ = self._photos[0].shape
        tops, lefts = range(first, end - size + 1, stride), range(0, width - size + 1, stride)
        self._corners = list(itertools.product(range(len(self._photos)), tops, lefts))
        pixels = (photo.tobytes() for photo in self._photos)
        self.fingerprint = digest("photos", split, size, stride, *CAPTIONS, *pixels)

    def __len__(self) -> int:
        return len(self._corners)

    def __getitem__(self, index: int) -> Record:
        photo, top, left = self._corners[index]
        return {
            "image": self._photos[photo][top : top + self._size, left : left + self._size],
            "caption": (CAPTIONS[photo],),
            "name": f"photo {photo} at row {top}, column {left}",
            "photo": photo,
            "top": top,
            "left": left,
        }

    def captions(self) -> Iterator[str]:
        return iter(CAPTIONS)
