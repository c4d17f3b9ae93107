"""Pictures from a trained stack, for launch.sample: caption to embedding to prior to decoder to upsamplers."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh
from PIL import Image

from gen import config
from gen.sample import png
from launch.unclip import Unclip


def draw(args: Any, overrides: Sequence[tuple[str, str]], mesh: Mesh, versions: dict[str, Any]) -> int:
    """Writes the pictures of each prompt, each with its record, and a grid of them."""
    if args.tokens is not None or args.stop or args.system is not None:
        raise ValueError(f"{args.workdir} draws pictures: --tokens, --stop and --system are for language models")
    stack = Unclip.open(args.workdir, mesh).with_samplers(overrides)
    out = Path(args.out or Path(args.workdir) / "samples")
    for prompt in args.prompt:
        tokens_BT, notes = stack.read([prompt])
        for note in notes:
            print(f"note: {note}")
        record = {
            "prompt": prompt,
            "seed": args.seed,
            "from_text_embedding": args.from_text_embedding,
            "samplers": config.to_dict(stack.samplers),
            "weights": stack.digests(),
            **versions,
        }
        name = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:60]
        _draw_prompt(stack, tokens_BT, args, record, out / f"{name}-seed{args.seed}")
    return 0


def _draw_prompt(stack: Unclip, tokens_BT: np.ndarray, args: Any, record: dict[str, Any], stem: Path) -> None:
    everything = []
    size = min(args.batch, args.num)
    for first in range(0, args.num, size):
        index_B = np.arange(first, first + size)  # the last batch is drawn whole, so that nothing compiles again
        tokens = np.repeat(tokens_BT, size, axis=0)
        drawn = stack.draw(tokens, index_B, args.seed, from_text_embedding=args.from_text_embedding)
        for index, picture in zip(index_B, drawn.pictures[-1], strict=True):
            if index < args.num:
                path = stem.with_name(f"{stem.name}-{index:03d}.png")
                png.write(path, picture, json.dumps({**record, "index": int(index)}))
                everything.append(picture)
    grid = stem.with_name(f"{stem.name}-grid.png")
    Image.fromarray(png.grid(np.stack(everything), columns=min(8, len(everything)))).save(grid)
    print(f"wrote {len(everything)} pictures and {grid}")
