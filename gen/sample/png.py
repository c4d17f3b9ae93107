"""Pictures as files: grids, and single PNGs that carry how to make them again.

write_comparison(Path("samples/100.png"), {"drawn": x_BYXC, "real": y_BYXC})
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo

RECORD = "gen"  # the PNG text chunk that holds a picture's record
SMALLEST = 64  # pixels: smaller pictures are shown enlarged in grids, each pixel a square


def to_uint8(x: Float[np.ndarray, "*N Y X 3"]) -> UInt8[np.ndarray, "*N Y X 3"]:
    """Pixels of [-1, 1] as 0 .. 255, rounded and clipped."""
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


def write_comparison(path: Path, pictures: Mapping[str, np.ndarray]) -> str:
    """Writes one row of pictures for each name, in order; returns a sentence that says so."""
    rows = [grid(x, columns=len(x)) for x in pictures.values()]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(path)
    return f"pictures ({', '.join(pictures)}, row by row): {path}"


def write(path: Path, x_YXC: Float[np.ndarray, "Y X 3"], record: str) -> None:
    """Writes one picture with its record, JSON text, in a text chunk."""
    info = PngInfo()
    info.add_text(RECORD, record)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(to_uint8(x_YXC)).save(path, pnginfo=info)
