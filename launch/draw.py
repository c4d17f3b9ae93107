"""Pictures from a trained stack, for launch.sample: caption to embedding to prior to decoder to upsamplers.

A record says all that a picture depends on, and `batch` makes the same rows of it again.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from gen import config
from gen.sample import png
from launch.unclip import Unclip

COLUMNS = 8  # of a grid


def draw(args: Any, overrides: Sequence[tuple[str, str]], mesh: Mesh, made_with: dict[str, Any]) -> int:
    """Writes the pictures of each prompt, each with its record, and a grid of them."""
    if args.tokens is not None or args.stop or args.system is not None:
        raise ValueError(f"{args.workdir} draws pictures: --tokens, --stop and --system are for language models")
    stack = Unclip.open(args.workdir, mesh).with_samplers(overrides)
    out = Path(args.out or Path(args.workdir) / "samples")
    for prompt in args.prompt:
        for note in stack.read([prompt])[1]:
            print(f"note: {note}")
        record = {
            "prompt": prompt,
            "seed": args.seed,
            "num": args.num,
            "batch": min(args.batch, args.num),
            "from_text_embedding": args.from_text_embedding,
            "samplers": config.to_dict(stack.samplers),
            "weights": stack.digests(),
            **made_with,
        }
        name = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:60]
        _write(stack, record, out / f"{name}-seed{args.seed}")
    return 0


def batch(stack: Unclip, record: Mapping[str, Any], first: int) -> Float[np.ndarray, "B Y X 3"]:
    """The pictures from number `first` on that are drawn together; the last ones may be more than were asked for, so
    that nothing compiles again."""
    size = record["batch"]
    tokens_BT = np.repeat(stack.read([record["prompt"]])[0], size, axis=0)
    index_B = np.arange(first, first + size)
    return stack.draw(tokens_BT, index_B, record["seed"], from_text_embedding=record["from_text_embedding"]).pictures[
        -1
    ]


def every(stack: Unclip, record: Mapping[str, Any]) -> Float[np.ndarray, "N Y X 3"]:
    """All pictures of a prompt."""
    batches = [batch(stack, record, first) for first in range(0, record["num"], record["batch"])]
    return np.concatenate(batches)[: record["num"]]


def grid(pictures_NYXC: Float[np.ndarray, "N Y X 3"]) -> np.ndarray:
    return png.grid(pictures_NYXC, columns=min(COLUMNS, len(pictures_NYXC)))


def _write(stack: Unclip, record: dict[str, Any], stem: Path) -> None:
    pictures = every(stack, record)
    for index, picture in enumerate(pictures):
        png.write(
            stem.with_name(f"{stem.name}-{index:03d}.png"), picture, {"kind": "picture", "index": index, **record}
        )
    together = stem.with_name(f"{stem.name}-grid.png")
    png.write_pixels(together, grid(pictures), {"kind": "grid", **record})
    print(f"wrote {len(pictures)} pictures and {together}")
