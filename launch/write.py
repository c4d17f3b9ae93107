"""Texts from a trained language model, for launch.sample: shown as they come, and kept as lines of JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from gen import config
from gen.sample.choose import Choice
from gen.sample.writer import Piece, Written
from launch.language import Language

TOKENS = 128  # written when nobody says how many


def write(args: Any, overrides: Sequence[tuple[str, str]], mesh: Mesh, versions: dict[str, Any]) -> int:
    """Shows each text, the first as it is written, and appends all to OUT/texts.jsonl."""
    if args.from_text_embedding:
        raise ValueError(f"{args.workdir} is a language model: --from_text_embedding is for pictures")
    language = Language.open(args.workdir, mesh)
    start = language.run.task.sampler if language.run is not None else Choice()
    data: dict[str, Any] = config.to_dict(start)
    for key, value in overrides:
        data = config.override(data, key, value)
    choice = config.build(Choice, data, "sampler")
    writer = language.writer
    how = {"new": args.tokens or TOKENS, "seed": args.seed, "choice": choice, "stop": tuple(args.stop)}
    said = {"seed": args.seed, "sampler": config.to_dict(choice), "new": how["new"], "stop": list(how["stop"])}
    record = {**said, "weights": dict(language.weights), **versions}

    lines = []
    for prompt in args.prompt:
        print(prompt, end="", flush=True)
        written = writer.write([prompt], copies=args.num, show=_show_first, **how)
        for index, text in enumerate(written):
            print(("" if index == 0 else prompt + text.text) + f"\n---- {_describe(text)}")
            lines.append({"index": index, **text._asdict(), **record})
    out = Path(args.out or Path(args.workdir) / "samples")
    out.mkdir(parents=True, exist_ok=True)
    path = out / "texts.jsonl"
    with path.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    print(f"added {len(lines)} texts to {path}")
    return 0


def _show_first(piece: Piece) -> None:
    """All texts of a prompt are written at once; the first is shown while it grows, the others when they are done."""
    if piece.row == 0:
        print(piece.text, end="", flush=True)


def _describe(text: Written) -> str:
    mean = -sum(text.log_p) / max(len(text.log_p), 1)
    return f"{len(text.tokens)} tokens, ended by {text.reason}, {mean:.3f} nats a token"
