"""Images on the host: decode, resize with antialiasing, crop, flip. Arrays are Y X C: rows, columns, channels.

image_YXC = center_crop(resize_shorter(decode(content), 64), 64)        # uint8 64 x 64 x 3
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from gen import imagefile
from gen.data.source import CorruptRecord
from gen.imagefile import MAX_PIXELS

ENDINGS = (".jpg", ".jpeg", ".png", ".webp")  # of the names of image files, in small letters


def check_header(content: bytes) -> None:
    """Raises CorruptRecord unless `content` begins like an image that `decode` would try; decodes no pixel."""
    try:
        imagefile.check_header(content)
    except imagefile.NotAnImage as error:
        raise CorruptRecord(str(error)) from error


def decode(content: bytes) -> UInt8[np.ndarray, "Y X 3"]:
    """The pixels of a record's JPEG, PNG or WebP file (gen.imagefile). Raises CorruptRecord where it has none."""
    try:
        return imagefile.decode(content)
    except imagefile.NotAnImage as error:
        raise CorruptRecord(str(error)) from error


def resize(image_YXC: UInt8[np.ndarray, "Y X 3"], height: int, width: int) -> UInt8[np.ndarray, "y x 3"]:
    """Bicubic, the kernel widened when shrinking so that nothing aliases (Pillow's resize)."""
    return np.asarray(Image.fromarray(image_YXC).resize((width, height), Image.Resampling.BICUBIC))


def resize_shorter(
    image_YXC: UInt8[np.ndarray, "Y X 3"], size: int, whole: Callable[[float], int] = round
) -> UInt8[np.ndarray, "y x 3"]:
    """Resized so that the shorter side is `size`, keeping the proportions; `whole` makes the longer a whole number.

    CLIP's own processor takes math.floor: of 335.7 pixels 335.
    Raises CorruptRecord where that makes more than MAX_PIXELS: a hair of 2 x 30,000 pixels would grow to gigabytes.
    """
    height, width, _ = image_YXC.shape
    shorter = min(height, width)
    if shorter == size:
        return image_YXC
    height, width = whole(height * size / shorter), whole(width * size / shorter)
    if height * width > MAX_PIXELS:
        raise CorruptRecord(f"its sides are too unequal: resized it would have {height * width:,} pixels")
    return resize(image_YXC, height, width)


def center_crop(image_YXC: UInt8[np.ndarray, "Y X 3"], size: int) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """The square of `size` in the middle. `size` is at most the shorter side, here and in `random_crop`."""
    height, width, _ = image_YXC.shape
    y, x = (height - size) // 2, (width - size) // 2
    return image_YXC[y : y + size, x : x + size]


def random_crop(
    image_YXC: UInt8[np.ndarray, "Y X 3"], size: int, generator: np.random.Generator
) -> UInt8[np.ndarray, "{size} {size} 3"]:
    """A square of `size` at a corner drawn uniformly."""
    height, width, _ = image_YXC.shape
    y = generator.integers(0, height - size, endpoint=True)
    x = generator.integers(0, width - size, endpoint=True)
    return image_YXC[y : y + size, x : x + size]


def flip(image_YXC: UInt8[np.ndarray, "Y X 3"]) -> UInt8[np.ndarray, "Y X 3"]:
    """Mirrored left to right."""
    return image_YXC[:, ::-1]
