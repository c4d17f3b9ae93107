"""Pictures of a prompt from a trained stack, as files with records.

    made = {"weights": stack.digests(), "made_with": ...}
    write(stack, PictureRequest("a seven", seed=0, num=8, batch=4, ...), made, out)

A record says all that a picture depends on, and `batch` draws the same rows again.
"""

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from gen import config, files
from gen.pipelines.bulk.index import identify
from gen.runs import output
from gen.sample import png
from gen.sample.unclip import SamplerConfig
from gen.training import manifest

if TYPE_CHECKING:
    from gen.pipelines.pictures import PictureStack

COLUMNS = 8  # of a grid


@dataclasses.dataclass(frozen=True)
class PictureRequest:
    """`num` pictures of a prompt, `batch` of them drawn at once, with the sampler of each stage. `row` is the place in
    its batch of a picture that was drawn among those of other prompts (gen.pipelines.bulk)."""

    prompt: str
    seed: int
    num: int
    batch: int
    from_text_embedding: bool
    samplers: dict[str, SamplerConfig]
    row: int | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A picture, uint8 (Y, X, 3), and the record of all that it depends on."""

    pixels: np.ndarray
    record: Mapping[str, Any]

    @property
    def image(self) -> Image.Image:
        """As PIL has it."""
        return Image.fromarray(self.pixels)

    def save(self, path: str | Path) -> None:
        """Writes a PNG that carries the record. Raises CannotWrite."""
        with files.replacing(Path(path)) as partial:
            png.write_pixels(partial, self.pixels, dict(self.record))


def pictures(
    stack: "PictureStack", prompt: str, num: int, seed: int, batch: int, from_text_embedding: bool
) -> list[Picture]:
    """The pictures of a prompt; see PictureStack.draw."""
    request = PictureRequest(prompt, seed, num, min(batch, num), from_text_embedding, stack.samplers)
    made_with = manifest.surroundings(dict(stack.mesh.shape))
    record = {**config.to_dict(request), "weights": stack.digests(), "made_with": made_with}
    return [
        Picture(png.to_uint8(x_YXC), {"kind": "picture", "index": index, **record})
        for index, x_YXC in enumerate(every(stack, request))
    ]


def name(prompt: str) -> str:
    """What the files of a prompt are called: its words, as "a-seven" for "a seven", with a digest behind them where
    other prompts have the same ones, as "a seven!"."""
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:60].rstrip("-")
    if words.replace("-", " ") == prompt:
        return words
    return f"{words}-{hashlib.sha256(prompt.encode()).hexdigest()[:8]}".lstrip("-")


def batch(stack: "PictureStack", request: PictureRequest, first: int) -> Float[np.ndarray, "B Y X 3"]:
    """The pictures from number `first` on that are drawn together; the last ones may be more than were requested, so
    that nothing compiles again."""
    tokens_BT = np.repeat(stack.read([request.prompt])[0], request.batch, axis=0)
    index_B = np.arange(first, first + request.batch)
    return stack.draw_rows(tokens_BT, index_B, request.seed, from_text_embedding=request.from_text_embedding).pictures[
        -1
    ]


def alone(stack: "PictureStack", request: PictureRequest, index: int) -> Float[np.ndarray, "Y X 3"]:
    """A picture that was drawn among others, in the same place of a batch that it fills."""
    tokens_BT = np.repeat(stack.read([request.prompt])[0], request.batch, axis=0)
    index_B = np.full(request.batch, index)
    drawn = stack.draw_rows(tokens_BT, index_B, request.seed, from_text_embedding=request.from_text_embedding)
    return drawn.pictures[-1][request.row]


def every(stack: "PictureStack", request: PictureRequest) -> Float[np.ndarray, "N Y X 3"]:
    """All pictures of a prompt."""
    batches = [batch(stack, request, first) for first in range(0, request.num, request.batch)]
    return np.concatenate(batches)[: request.num]


def grid(pictures_NYXC: Float[np.ndarray, "N Y X 3"]) -> np.ndarray:
    return png.grid(pictures_NYXC, columns=min(COLUMNS, len(pictures_NYXC)))


def free_stem(out: Path, plain: str, record: Mapping[str, Any]) -> Path:
    """How the files of a request begin: `plain`, or with a digest of the record where other pictures have that name.

    The same record makes the same pictures, which may take their own place. Raises ValueError where even the name with
    the digest belongs to something else.
    """
    digest = request_of(record)
    first = output.named(out, plain, "-000.png", digest, lambda path: drawn_by(path, digest))
    return first.with_name(first.name.removesuffix("-000.png"))


def request_of(record: Mapping[str, Any]) -> str:
    """A digest of what pictures are made from, whichever of them and however many."""
    return identify({key: value for key, value in record.items() if key not in ("kind", "index")}, "pictures")


def drawn_by(path: Path, digest: str) -> bool:
    """Whether a file is a picture with a record of this digest."""
    try:
        return request_of(png.read(path)[1]) == digest
    except (OSError, ValueError):
        return False


def write(stack: "PictureStack", request: PictureRequest, made_with: Mapping[str, Any], stem: Path) -> tuple[int, Path]:
    """Writes the pictures of a request as STEM-000.png, ..., each with its record, and STEM-grid.png.

    Returns how many there are, and the grid. Raises CannotWrite.
    """
    record = {**config.to_dict(request), **made_with}
    pictures = every(stack, request)
    with files.writing(stem.parent):
        stem.parent.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(pictures):
        with files.replacing(stem.with_name(f"{stem.name}-{index:03d}.png")) as partial:
            png.write(partial, picture, {"kind": "picture", "index": index, **record})
    together = stem.with_name(f"{stem.name}-grid.png")
    with files.replacing(together) as partial:
        png.write_pixels(partial, grid(pictures), {"kind": "grid", **record})
    return len(pictures), together
