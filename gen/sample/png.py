"""Pictures as files: grids, and PNGs that carry how to make them again.

write(Path("0.png"), x_YXC, {"prompt": "a snowman", "seed": 0})
pixels, record = read(Path("0.png"))
write_pixels(Path("samples/100.png"), comparison({"drawn": x_BYXC, "real": y_BYXC}), record)
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gen import imagefile, jsonfile

RECORD = "gen"  # the PNG text chunk that holds a picture's record
SMALLEST = 64  # pixels: smaller pictures are shown enlarged in grids, each pixel a square


def to_uint8(x: Float[np.ndarray, "*N Y X 3"]) -> UInt8[np.ndarray, "*N Y X 3"]:
    """Pixels of [-1, 1] as 0 .. 255, rounded and clipped. Raises ValueError for NaN and infinite values."""
    if (wrong := np.size(x) - np.count_nonzero(np.isfinite(x))) > 0:
        raise ValueError(
            f"{wrong:,} of {np.size(x):,} values of the pictures are NaN or infinite, which no pixel can show; "
            "use other settings of the sampler, or weights that have not diverged"
        )
    return np.clip(np.rint((np.asarray(x) + 1) * 127.5), 0, 255).astype(np.uint8)


def grid(x_BYXC: Float[np.ndarray, "B Y X 3"], columns: int, gap: int = 2) -> UInt8[np.ndarray, "V U 3"]:
    """Pictures side by side on white, row by row."""
    pictures = to_uint8(x_BYXC)
    factor = max(1, SMALLEST // pictures.shape[1])
    pictures = pictures.repeat(factor, 1).repeat(factor, 2)
    rows, height, width = -(-len(pictures) // columns), *pictures.shape[1:3]
    canvas = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        y, x = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        canvas[y : y + height, x : x + width] = picture
    return canvas


def comparison(pictures: Mapping[str, np.ndarray]) -> UInt8[np.ndarray, "V U 3"]:
    """One row of pictures for each name, in order."""
    return np.concatenate([grid(x, columns=len(x)) for x in pictures.values()])


def write(path: Path, x_YXC: Float[np.ndarray, "Y X 3"], record: Mapping[str, Any]) -> None:
    """Writes one picture with its record."""
    write_pixels(path, to_uint8(x_YXC), record)


def write_pixels(path: Path, pixels_YXC: UInt8[np.ndarray, "Y X 3"], record: Mapping[str, Any]) -> None:
    """Writes pixels with their record, as JSON in a text chunk."""
    info = PngInfo()
    info.add_text(RECORD, json.dumps(record))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels_YXC).save(path, "PNG", pnginfo=info)


def read(path: Path) -> tuple[UInt8[np.ndarray, "Y X 3"], dict[str, Any]]:
    """A picture and its record. Raises ValueError for a file that is no PNG, or carries no record of gen's."""
    if not path.exists():
        raise ValueError(f"there is no file {path}")
    try:
        content = imagefile.read(path)
        pixels, text = imagefile.decode(content), imagefile.png_text(content, RECORD)
    except jsonfile.NotReadable as error:
        raise ValueError(str(error)) from error
    except imagefile.NotAnImage as error:
        raise ValueError(f"{path} is no PNG that can be read: {error}") from error
    if text is None:
        raise ValueError(
            f"{path} carries no record: gen did not make it, or another program saved it and left the record out"
        )
    try:
        return pixels, jsonfile.parse(text, dict[str, Any], f"the record of {path}")
    except jsonfile.NotReadable as error:
        raise ValueError(f"{error}; gen did not write it, or it has been changed") from error
