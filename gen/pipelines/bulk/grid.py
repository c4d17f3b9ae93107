"""A labelled grid of samples: a row a prompt, a column a seed and setting.

grid = arrange(items, names, ledger.made)
pictures(grid, out)        # out/grid.png
texts(grid, out)           # out/grid.html
"""

import hashlib
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps
from PIL.PngImagePlugin import PngInfo

from gen import files, imagefile
from gen.jsonfile import open_regular
from gen.pipelines.bulk.requests import SampleRequest
from gen.runs import output

LARGEST = 600  # cells of a grid that somebody looks at
SMALLEST, WIDEST = 96, 256  # pixels on the side of a picture in it
MARGIN, GAP, SIZE = 180, 4, 13  # pixels: of the labels' column, between pictures, of letters
MARK, HEAD = "gen-list", 4096  # what marks the digest of a list, and within how many bytes
PAGE = Path(__file__).with_name("grid.html")


class Grid(NamedTuple):
    """Lines of a ledger by prompt and label; there is none for what has not been made."""

    digest: str  # of all samples that are to be in it
    prompts: list[str]
    labels: list[str]
    cells: Mapping[tuple[str, str], Mapping[str, Any]]


def arrange(
    items: Sequence[SampleRequest], names: Callable[[SampleRequest], list[str]], made: Mapping[str, Any]
) -> Grid:
    """`names(item)` are the ids of an item's samples, each of which has a column where there are several."""
    every = [name for item in items for name in names(item)]
    cells: dict[tuple[str, str], Mapping[str, Any]] = {}
    labels: dict[str, None] = {}
    for item in items:
        own = names(item)
        for index, name in enumerate(own):
            label = item.label + (f" #{index}" if len(own) > 1 else "")
            labels[label] = None
            if name in made:
                cells[item.prompt, label] = made[name]
    digest = hashlib.sha256("".join(every).encode()).hexdigest()[:16]
    return Grid(digest, list(dict.fromkeys(item.prompt for item in items)), list(labels), cells)


def pictures(grid: Grid, out: Path) -> Path:
    """Writes OUT/grid.png from the pictures that lines name, under another name where that is of another list."""
    opened = {place: fitted(Image.fromarray(_pixels(out / line["file"]))) for place, line in grid.cells.items()}
    font = ImageFont.load_default(SIZE)
    words = [word for label in grid.labels for word in label.split()]
    width = max(*(image.width for image in opened.values()), *(int(font.getlength(word)) + 1 for word in words))
    height = max(image.height for image in opened.values())
    heads = [wrapped(label, width) for label in grid.labels]
    top = max(head.count("\n") + 1 for head in heads) * (SIZE + 3) + GAP
    size = (MARGIN + len(heads) * (width + GAP), top + len(grid.prompts) * (height + GAP))
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    for column, (label, head) in enumerate(zip(grid.labels, heads, strict=True)):
        left = MARGIN + column * (width + GAP)
        draw.multiline_text((left, 0), head, "black", font)
        for row, prompt in enumerate(grid.prompts):
            if (prompt, label) in opened:
                canvas.paste(opened[prompt, label], (left, top + row * (height + GAP)))
    for row, prompt in enumerate(grid.prompts):
        draw.multiline_text((GAP, top + row * (height + GAP)), wrapped(prompt, MARGIN - 2 * GAP), "black", font)
    path = output.named(out, "grid", ".png", grid.digest, lambda path: _holds(path, grid.digest))
    with files.replacing(path) as partial:
        info = PngInfo()
        info.add_text(MARK, grid.digest)
        canvas.save(partial, "PNG", pnginfo=info)
    return path


def _pixels(path: Path) -> np.ndarray:
    try:
        return imagefile.decode(imagefile.read(path))
    except ValueError as error:
        raise ValueError(f"{path}: {error}; remove it, and it is made again") from error


def texts(grid: Grid, out: Path) -> Path:
    """Writes OUT/grid.html, under another name where that is of another list."""
    text_of = lambda *place: grid.cells.get(place, {}).get("text")
    rows = [(prompt, [text_of(prompt, label) for label in grid.labels]) for prompt in grid.prompts]
    path = output.named(out, "grid", ".html", grid.digest, lambda path: _holds(path, grid.digest))
    template = jinja2.Template(PAGE.read_text(), autoescape=True)
    files.write_text(path, template.render(mark=MARK, digest=grid.digest, labels=grid.labels, rows=rows))
    return path


def _holds(path: Path, digest: str) -> bool:
    """Whether a grid is of the list with this digest, which stands near its beginning."""
    try:
        with open_regular(path) as file:
            return digest.encode() in file.read(HEAD)
    except (OSError, ValueError):
        return False


def fitted(image: Image.Image) -> Image.Image:
    """A small picture with each pixel a square, a large one made smaller: a grid of hundreds is one picture."""
    if max(image.size) > WIDEST:
        return ImageOps.contain(image, (WIDEST, WIDEST))
    factor = max(1, SMALLEST // image.height)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def wrapped(text: str, pixels: int) -> str:
    """In lines of about so many pixels, between words."""
    return "\n".join(textwrap.wrap(text, pixels // (SIZE // 2), break_long_words=False)) or text
