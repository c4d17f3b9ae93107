"""Pictures from a trained stack, for launch.sample: caption to embedding to prior to decoder to upsamplers.

A record says all that a picture depends on, and `batch` makes the same rows of it again.
"""

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from gen import config
from gen.messages import harmless, note
from gen.sample import png
from gen.sample.unclip import SamplerConfig
from gen.train import files
from launch import output
from launch.many.ledger import identify
from launch.unclip import Unclip

COLUMNS = 8  # of a grid


@dataclasses.dataclass(frozen=True)
class Asked:
    """What was asked for: `num` pictures of a prompt, `batch` of them drawn at once, with the sampler of each stage.
    `row` is the place in its batch of one that was drawn among others, of other prompts (launch.many)."""

    prompt: str
    seed: int
    num: int
    batch: int
    from_text_embedding: bool
    samplers: dict[str, SamplerConfig]
    row: int | None = None


def draw(args: Any, overrides: Sequence[tuple[str, str]], mesh: Mesh, made_with: dict[str, Any]) -> int:
    """Writes the pictures of each prompt, each with its record, and a grid of them."""
    out = output.folder(output.samples(args))
    stack = open_for(args, overrides, mesh)
    for prompt in args.prompt:
        for sentence in stack.read([prompt])[1]:
            note(sentence)
        together = min(args.batch, args.num)
        asked = Asked(prompt, args.seed, args.num, together, args.from_text_embedding, stack.samplers)
        made = {"weights": stack.digests(), **made_with}
        stem = free_stem(out, f"{name(prompt)}-seed{args.seed}", {**config.to_dict(asked), **made})
        _write(stack, asked, made, stem)
    return 0


def open_for(args: Any, overrides: Sequence[tuple[str, str]], mesh: Mesh) -> Unclip:
    """Raises ValueError for flags that are not for a stack."""
    for name in ("tokens", "stop", "system", "add_bos", "add_eos"):
        if getattr(args, name) not in (None, []):
            raise ValueError(f"{args.workdir} draws pictures: --{name} is for language models")
    return Unclip.open(args.workdir, mesh).with_samplers(overrides)


def name(prompt: str) -> str:
    """What the files of a prompt are called: its words, as "a-seven" for "a seven", with a digest behind them where
    other prompts have the same ones, as "a seven!"."""
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:60].rstrip("-")
    if words.replace("-", " ") == prompt:
        return words
    return f"{words}-{hashlib.sha256(prompt.encode()).hexdigest()[:8]}".lstrip("-")


def batch(stack: Unclip, asked: Asked, first: int) -> Float[np.ndarray, "B Y X 3"]:
    """The pictures from number `first` on that are drawn together; the last ones may be more than were asked for, so
    that nothing compiles again."""
    tokens_BT = np.repeat(stack.read([asked.prompt])[0], asked.batch, axis=0)
    index_B = np.arange(first, first + asked.batch)
    return stack.draw(tokens_BT, index_B, asked.seed, from_text_embedding=asked.from_text_embedding).pictures[-1]


def alone(stack: Unclip, asked: Asked, index: int) -> Float[np.ndarray, "Y X 3"]:
    """A picture that was drawn among others, in the same place of a batch that it fills."""
    tokens_BT = np.repeat(stack.read([asked.prompt])[0], asked.batch, axis=0)
    index_B = np.full(asked.batch, index)
    drawn = stack.draw(tokens_BT, index_B, asked.seed, from_text_embedding=asked.from_text_embedding)
    return drawn.pictures[-1][asked.row]


def every(stack: Unclip, asked: Asked) -> Float[np.ndarray, "N Y X 3"]:
    """All pictures of a prompt."""
    batches = [batch(stack, asked, first) for first in range(0, asked.num, asked.batch)]
    return np.concatenate(batches)[: asked.num]


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


def _write(stack: Unclip, asked: Asked, made_with: Mapping[str, Any], stem: Path) -> None:
    record = {**config.to_dict(asked), **made_with}
    pictures = every(stack, asked)
    with files.writing(stem.parent):
        stem.parent.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(pictures):
        with files.replacing(stem.with_name(f"{stem.name}-{index:03d}.png")) as partial:
            png.write(partial, picture, {"kind": "picture", "index": index, **record})
    together = stem.with_name(f"{stem.name}-grid.png")
    with files.replacing(together) as partial:
        png.write_pixels(partial, grid(pictures), {"kind": "grid", **record})
    print(harmless(f"wrote {len(pictures)} pictures and {together}"))
