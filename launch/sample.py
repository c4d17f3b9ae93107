"""Draws pictures from a trained stack: caption to text embedding to prior to decoder to upsamplers.

python -m launch.sample --workdir=runs/digits --prompt="a handwritten seven in red ink on yellow paper" --num=8

Every picture is written as a PNG that carries its prompt, seed, samplers and the digests of the weights, with a grid
of all beside them. --sampler.STAGE.KEY=VALUE sets a sampler, as --sampler.decoder.guidance_scale=2.
"""

import json
import re
from pathlib import Path

from absl import flags

from launch import command


def main(args, overrides) -> int:
    import importlib.metadata

    import jax
    import numpy as np
    from PIL import Image

    from gen import config
    from gen import mesh as meshes
    from gen.sample import png
    from launch.unclip import Unclip

    mesh = meshes.make(meshes.MeshConfig(), jax.devices())
    stack = Unclip.open(args.workdir, mesh).with_samplers(overrides)
    tokens_BT, notes = stack.read([args.prompt])
    for note in notes:
        print(f"note: {note}")
    out = Path(args.out or Path(args.workdir) / "samples")
    size = min(args.batch, args.num)
    record = {
        "prompt": args.prompt,
        "seed": args.seed,
        "from_text_embedding": args.from_text_embedding,
        "samplers": config.to_dict(stack.samplers),
        "weights": stack.digests(),
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "numpy")},
        "device": jax.devices()[0].device_kind,
        "mesh": dict(mesh.shape),
    }
    name = re.sub(r"[^a-z0-9]+", "-", args.prompt.lower()).strip("-")[:60]
    everything = []
    for first in range(0, args.num, size):
        index_B = np.arange(first, first + size)  # the last batch is drawn whole, so that nothing compiles again
        tokens = np.repeat(tokens_BT, size, axis=0)
        drawn = stack.draw(tokens, index_B, args.seed, from_text_embedding=args.from_text_embedding)
        for index, picture in zip(index_B, drawn.pictures[-1], strict=True):
            if index < args.num:
                path = out / f"{name}-seed{args.seed}-{index:03d}.png"
                png.write(path, picture, json.dumps({**record, "index": int(index)}))
                everything.append(picture)
    grid = out / f"{name}-seed{args.seed}-grid.png"
    Image.fromarray(png.grid(np.stack(everything), columns=min(8, len(everything)))).save(grid)
    print(f"wrote {len(everything)} pictures and {grid}")
    return 0


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "directory of a trained stack")
    flags.DEFINE_string("prompt", None, "what to draw")
    flags.DEFINE_integer("num", 4, "how many pictures", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "another seed, other pictures")
    flags.DEFINE_integer("batch", 16, "how many pictures are drawn at once", lower_bound=1)
    flags.DEFINE_string("out", None, "where the pictures go; by default WORKDIR/samples")
    flags.DEFINE_bool("from_text_embedding", False, "leave the prior out (the paper's ablation)")
    command.run(main, prefix="sampler", workdir="the directory of a trained stack", prompt="what to draw")
