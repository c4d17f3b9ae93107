"""Images on the host: decode with limits, resize with antialiasing, crop, flip.

Whatever comes from a file is met as hostile: only JPEG, PNG and WebP are opened, the size in the header is checked
before a pixel is decoded, and all that can go wrong is `Damaged`. Arrays are Y X C: rows, columns, channels.

    image_YXC = center_crop(resize_shorter(decode(content), 64), 64)        # uint8 64 x 64 x 3
"""

import io
import warnings
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from gen.data.source import Damaged

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 50_000_000

# Process-wide, because warning filters cannot be set for one thread.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def _open(content: bytes) -> Image.Image:
    """The image with only its header read."""
    image = Image.open(io.BytesIO(content), formats=FORMATS)
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise Damaged(f"{width} x {height} is more than {MAX_PIXELS:,} pixels")
    return image


def check_header(content: bytes) -> None:
    """Raises Damaged unless `content` begins like an image that `decode` would try; decodes no pixel."""
    try:
        _open(content)
    except Exception as error:
        raise _damaged(error) from error


def decode(content: bytes) -> UInt8[np.ndarray, "Y X 3"]:
    """The pixels of a JPEG, PNG or WebP file, upright by its EXIF orientation, transparency over white.

    Raises Damaged when the content is none of these, is broken, or has more than MAX_PIXELS.
    """
    try:
        return np.asarray(_to_rgb(ImageOps.exif_transpose(_open(content))))
    except Exception as error:  # on bad bytes Pillow's parsers raise almost anything
        raise _damaged(error) from error


def _damaged(error: Exception) -> Damaged:
    return error if isinstance(error, Damaged) else Damaged(f"not a readable JPEG, PNG or WebP image: {error}")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip, not scale
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def resize(image_YXC: UInt8[np.ndarray, "Y X 3"], height: int, width: int) -> UInt8[np.ndarray, "y x 3"]:
    """Bicubic, the kernel widened when shrinking so that nothing aliases (Pillow's resize)."""
    return np.asarray(Image.fromarray(image_YXC).resize((width, height), Image.Resampling.BICUBIC))


def resize_shorter(
    image_YXC: UInt8[np.ndarray, "Y X 3"], size: int, whole: Callable[[float], int] = round
) -> UInt8[np.ndarray, "y x 3"]:
    """Resized so that the shorter side is `size`, keeping the proportions; `whole` makes the longer a whole number.

    CLIP's own processor takes math.floor: of 335.7 pixels 335.
    Raises Damaged where that makes more than MAX_PIXELS: a hair of 2 x 30,000 pixels would grow to gigabytes.
    """
    height, width, _ = image_YXC.shape
    shorter = min(height, width)
    if shorter == size:
        return image_YXC
    height, width = whole(height * size / shorter), whole(width * size / shorter)
    if height * width > MAX_PIXELS:
        raise Damaged(f"its sides are too unequal: resized it would have {height * width:,} pixels")
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
