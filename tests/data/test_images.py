"""Images: limits are met before pixels are decoded; resizing antialiases; crops and flips are where they should be."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gen.data import images
from gen.data.source import Damaged

RNG = np.random.default_rng(0)


def encoded(image, form: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, form, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixel."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_lossless_round_trip(form, options):
    image_YXC = RNG.integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(images.decode(encoded(image_YXC, form, **options)), image_YXC)


def test_jpeg_is_upright_by_its_orientation():
    image_YXC = np.zeros((16, 32, 3), np.uint8)
    image_YXC[:, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned left: show it turned right by a quarter
    upright = images.decode(encoded(image_YXC, "JPEG", exif=exif.tobytes(), quality=95))
    assert upright.shape == (32, 16, 3) and upright[:12].min() > 240 and upright[20:].max() < 15


def test_transparency_is_over_white_and_sixteen_bits_are_scaled():
    clear = Image.new("RGBA", (2, 2), (10, 20, 30, 0))
    assert np.all(images.decode(encoded(clear)) == 255)
    deep = Image.fromarray(np.full((2, 2), 0x8040, np.uint16))
    assert np.all(images.decode(encoded(deep)) == 0x80)


@pytest.mark.parametrize("size", [(7072, 7072), (10_000, 10_000), (60_000, 60_000)])
def test_oversized_is_refused_by_its_header(size, monkeypatch):
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("pixels were decoded"))
    for meet in (images.decode, images.check_header):
        with pytest.raises(Damaged, match="pixels|limit"):
            meet(png_header(*size))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an image",
        encoded(np.zeros((64, 64, 3), np.uint8))[:60],
        encoded(RNG.integers(0, 256, (64, 64, 3), np.uint8), "JPEG")[:900],
        encoded(Image.new("RGB", (4, 4)), "GIF"),
        encoded(Image.new("RGB", (4, 4)), "TIFF"),
    ],
    ids=["empty", "text", "cut png", "cut jpeg", "gif", "tiff"],
)
def test_broken_and_foreign_files_are_damaged(content):
    with pytest.raises(Damaged, match="not a readable"):
        images.decode(content)


def test_shrinking_antialiases():
    checkers = np.zeros((64, 96, 3), np.uint8)
    checkers[::2, ::2] = checkers[1::2, 1::2] = 255
    small = images.resize_shorter(checkers, 16)
    assert small.shape == (16, 24, 3)
    assert np.abs(small[2:-2, 2:-2].astype(int) - 127).max() <= 2  # picking pixels would give 0 or 255


def test_a_hair_is_not_blown_up_to_gigabytes():
    with pytest.raises(Damaged, match="its sides are too unequal: resized it would have 983,040,000 pixels"):
        images.resize_shorter(np.zeros((2, 30_000, 3), np.uint8), 256)


def test_crops():
    image_YXC = np.stack(np.broadcast_arrays(np.arange(9)[:, None], np.arange(12), 0), -1).astype(np.uint8)
    np.testing.assert_array_equal(images.center_crop(image_YXC, 4)[0, 0], [2, 4, 0])
    corners = {tuple(images.random_crop(image_YXC, 8, np.random.default_rng(i))[0, 0, :2]) for i in range(100)}
    assert corners == {(y, x) for y in range(2) for x in range(5)}
    np.testing.assert_array_equal(images.flip(image_YXC)[0, :, 1], np.arange(12)[::-1])
