"""Images that may come from anywhere, decoded within bounds; every image that gen reads is decoded here.

    pixels_YXC = decode(content)        # uint8, upright, transparency over white

Only JPEG, PNG and WebP are read. The size is checked before a decoder sees the file, of whose metadata it sees none
(imageparts), and memory stays below 16 bytes a pixel. Y, X and C are rows, columns and channels.
"""

import io
import re
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from gen.imageparts import NotAnImage, Parts, png_text, split
from gen.jsonfile import open_regular
from gen.messages import short

__all__ = ["MAX_BYTES", "MAX_PIXELS", "NotAnImage", "check_header", "decode", "png_text", "read"]

MAX_PIXELS = 2**26  # 67 million: above the 50 and 64 megapixels of telephones
MAX_BYTES = 2**28  # of a file
STRIP = 2**20  # pixels that are converted at a time

# Behind the last pixel a decoder skips these; before it, it makes pixels of them, and others of each.
_MORE = [
    b"".join(bytes([byte]) * 64 + bytes([0xFF, 0xD0 + (first + k) % 8]) for k in range(12))
    for byte in b"\xfe\x55\xaa\x00"
    for first in (0, 4)  # restart markers count to eight, and one that is near to the expected is waited for
]
_END = b"\xff\xd9"


def decode(content: bytes) -> UInt8[np.ndarray, "Y X 3"]:
    """The pixels of a JPEG, PNG or WebP file, upright by its orientation, transparency over white.

    Metadata is skipped and may be broken. Raises NotAnImage when the content is none of these, lacks pixels, or has
    more than MAX_PIXELS.
    """
    try:
        parts = _checked(content)
        pixels = _whole(parts) if not parts.ended else _pixels(parts)
    except Exception as error:  # on bad bytes Pillow's parsers raise almost anything
        raise _refusal(error) from error
    return np.ascontiguousarray(_upright(pixels, parts.orientation))


def check_header(content: bytes) -> None:
    """Raises NotAnImage unless `content` begins like an image that `decode` would try; decodes no pixel."""
    try:
        _open(_checked(content))
    except Exception as error:
        raise _refusal(error) from error


def read(path: Path) -> bytes:
    """The content of an image file, still encoded.

    Raises NotReadable for what is missing or no regular file, NotAnImage beyond MAX_BYTES, OSError where it cannot be
    read.
    """
    with open_regular(path) as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise NotAnImage(f"it is larger than {MAX_BYTES:,} bytes")
    return content


def _checked(content: bytes) -> Parts:
    parts = split(content)
    width, height = parts.size
    if width * height > MAX_PIXELS:
        raise NotAnImage(f"{width} x {height} is more than {MAX_PIXELS:,} pixels")
    return parts


def _open(parts: Parts) -> Image.Image:
    """The image with only its header read."""
    image = Image.open(io.BytesIO(parts.content), formats=[parts.form])
    if image.size != parts.size:
        raise NotAnImage(f"its size is {image.size[0]} x {image.size[1]} in one place, {parts.size} in another")
    return image


def _whole(parts: Parts) -> np.ndarray:
    """The pixels of a JPEG without end mark: all are there if nothing that follows changes one."""
    if not parts.single:
        raise NotAnImage("it is cut short: its end is missing")
    made = lambda more: _pixels(Parts(parts.form, parts.size, parts.content.rstrip(b"\xff") + more + _END))
    complete = made(b"")
    if not all(np.array_equal(complete, made(more)) for more in _MORE):
        raise NotAnImage("it is cut short: the last of its pixels are missing")
    return complete


def _pixels(parts: Parts) -> UInt8[np.ndarray, "Y X 3"]:
    with _open(parts) as image:
        image.load()
        if image.mode == "RGB" and not image.has_transparency_data:
            return np.asarray(image)
        _scale_transparency(image, parts)
        width, height = image.size
        pixels = np.empty((height, width, 3), np.uint8)
        rows = max(1, STRIP // max(1, width))
        for top in range(0, height, rows):
            strip = image.crop((0, top, width, min(height, top + rows)))
            pixels[top : top + rows] = _rgb(strip)
        return pixels


def _rgb(image: Image.Image) -> UInt8[np.ndarray, "Y X 3"]:
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip, not scale
        grey_YX = np.asarray(image)
        shown_YX = np.where(grey_YX == image.info.get("transparency", -1), 255, grey_YX >> 8).astype(np.uint8)
        return np.repeat(shown_YX[..., None], 3, axis=-1)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def _scale_transparency(image: Image.Image, parts: Parts) -> None:
    """Gives the transparent colour of a PNG the scale of its pixels, which Pillow brings to eight bits."""
    if parts.form != "PNG" or "transparency" not in image.info:
        return
    depth, colour = parts.content[24], image.info["transparency"]
    if image.mode == "L" and depth in (2, 4):
        image.info["transparency"] = colour * (255 // (2**depth - 1))
    elif image.mode == "RGB" and depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """The picture as it is to be seen, of one stored with an orientation of EXIF."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _refusal(error: Exception) -> NotAnImage:
    """Equal reasons in equal words: no address in memory, no long value."""
    if isinstance(error, NotAnImage):
        reason = str(error)
    elif isinstance(error, UnidentifiedImageError):
        reason = "its header is broken"
    else:
        message = re.sub(r" object at 0x[0-9a-f]+", "", str(error)) or type(error).__name__
        reason = short(message)[1:-1] if len(message) <= 100 else short(message)
    return NotAnImage(f"not a readable JPEG, PNG or WebP image: {reason}")
