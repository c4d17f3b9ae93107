"""Photos: crops are what they say, and the two splits share no pixel."""

import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from gen.data.photos import Photos


def rows_of(source: Photos, size: int) -> set[int]:
    return {row for _, top, _ in source._corners for row in range(top, top + size)}


@pytest.mark.parametrize("size", [16, 64, 128])
def test_regions_are_disjoint(size):
    train, test = (rows_of(Photos(split, size, stride=4), size) for split in ("train", "test"))
    assert not train & test
    assert max(train | test) < 427


def test_crops_are_pixels_of_the_photographs():
    source = Photos("train", size=48, stride=16)
    photos = load_sample_images().images
    for index in (0, len(source) // 2, len(source) - 1):
        record = source[index]
        y, x = record["top"], record["left"]
        np.testing.assert_array_equal(record["image"], photos[record["photo"]][y : y + 48, x : x + 48])
        assert record["caption"][0] in list(source.captions())
    assert {source[i]["photo"] for i in range(len(source))} == {0, 1}


@pytest.mark.parametrize(("split", "size", "stride"), [("test", 129, 8), ("train", 64, 0), ("all", 64, 8)])
def test_bad_requests(split, size, stride):
    with pytest.raises(ValueError, match="photos"):
        Photos(split, size, stride)
