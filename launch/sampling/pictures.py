"""Pictures of each prompt for launch.sample, with a grid of them."""

from collections.abc import Sequence
from typing import Any

from jax.sharding import Mesh

from gen import config
from gen.messages import harmless, note
from gen.pipelines import draw as drawing
from gen.pipelines.draw import PictureRequest
from gen.pipelines.pictures import PictureStack
from gen.runs import output


def draw(args: Any, overrides: Sequence[tuple[str, str]], mesh: Mesh, made_with: dict[str, Any]) -> int:
    """Writes the pictures of each prompt, each with its record, and a grid of them."""
    out = output.folder(output.samples(args.out, args.workdir))
    stack = open_for(args, overrides, mesh)
    for prompt in args.prompt:
        for sentence in stack.read([prompt])[1]:
            note(sentence)
        together = min(args.batch, args.num)
        request = PictureRequest(prompt, args.seed, args.num, together, args.from_text_embedding, stack.samplers)
        made = {"weights": stack.digests(), **made_with}
        plain = f"{drawing.name(prompt)}-seed{args.seed}"
        stem = drawing.free_stem(out, plain, {**config.to_dict(request), **made})
        count, grid = drawing.write(stack, request, made, stem)
        print(harmless(f"wrote {count} pictures and {grid}"))
    return 0


def open_for(args: Any, overrides: Sequence[tuple[str, str]], mesh: Mesh) -> PictureStack:
    """Raises ValueError for flags that are not for a stack."""
    for name in ("tokens", "stop", "system", "add_bos", "add_eos"):
        if getattr(args, name) not in (None, []):
            raise ValueError(f"{args.workdir} draws pictures: --{name} is for language models")
    return PictureStack.open(args.workdir, mesh).with_samplers(overrides)
