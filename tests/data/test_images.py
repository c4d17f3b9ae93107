"""Images: files are decoded (gen.imagefile) or damaged; resizing antialiases; crops and flips are in place."""

import io

import numpy as np
import pytest
from PIL import Image

from gen.data import images
from gen.data.source import CorruptRecord

RNG = np.random.default_rng(0)


def encoded(image, form: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_lossless_round_trip(form, options):
    image_YXC = RNG.integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(images.decode(encoded(image_YXC, form, **options)), image_YXC)


@pytest.mark.parametrize("meet", [images.decode, images.check_header])
def test_what_is_no_image_is_a_damaged_record(meet):
    with pytest.raises(CorruptRecord, match="not a readable JPEG, PNG or WebP image: it is a GIF"):
        meet(encoded(Image.new("RGB", (4, 4)), "GIF"))


def test_shrinking_antialiases():
    checkers = np.zeros((64, 96, 3), np.uint8)
    checkers[::2, ::2] = checkers[1::2, 1::2] = 255
    small = images.resize_shorter(checkers, 16)
    assert small.shape == (16, 24, 3)
    assert np.abs(small[2:-2, 2:-2].astype(int) - 127).max() <= 2  # picking pixels would give 0 or 255


def test_a_hair_is_not_blown_up_to_gigabytes():
    with pytest.raises(CorruptRecord, match="its sides are too unequal: resized it would have 983,040,000 pixels"):
        images.resize_shorter(np.zeros((2, 30_000, 3), np.uint8), 256)


def test_crops():
    image_YXC = np.stack(np.broadcast_arrays(np.arange(9)[:, None], np.arange(12), 0), -1).astype(np.uint8)
    np.testing.assert_array_equal(images.center_crop(image_YXC, 4)[0, 0], [2, 4, 0])
    corners = {tuple(images.random_crop(image_YXC, 8, np.random.default_rng(i))[0, 0, :2]) for i in range(100)}
    assert corners == {(y, x) for y in range(2) for x in range(5)}
    np.testing.assert_array_equal(images.flip(image_YXC)[0, :, 1], np.arange(12)[::-1])
