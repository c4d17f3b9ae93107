"""Checkpoints without the run, and without accelerators: what there is, whether it is intact, and what differs.

python -m launch.checkpoint list   runs/digits                     # every run beneath
python -m launch.checkpoint verify runs/lm runs/clip@500           # all steps, or one
python -m launch.checkpoint diff   runs/lm@500 runs/other@500      # arrays and configs
python -m launch.checkpoint export runs/lm@500 --to=lm.safetensors [--part=players/model/params] [--overwrite]
python -m launch.checkpoint gc     runs/lm --keep=2 [--keep_every=1000] [--dry_run]

Exit status: 0; 1 where something is damaged (verify) or differs (diff); 4 where nothing intact is left; 2 bad usage.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from launch import command


def main(args, words: Sequence[str]) -> int:
    os.environ["JAX_PLATFORMS"] = "cpu"
    from gen.config import nearest
    from launch.checkpoint import collect, compare, export, listing, verify

    programs: dict[str, tuple[int, Callable[..., Any]]] = {
        "list": (1, lambda places: listing.show(places)),
        "verify": (1, lambda places: verify.verify(places)),
        "diff": (2, lambda places: compare.compare(*places)),
        "export": (1, lambda places: export.export(places[0], args.to, args.part, args.overwrite)),
        "gc": (1, lambda places: collect.collect(places, args.keep, args.keep_every, args.dry_run)),
    }
    if not words or words[0] not in programs:
        said = nearest(words[0], programs) if words else f"there are {', '.join(programs)}"
        raise ValueError(f"say what to do, as `list DIR`; {said}")
    least, program = programs[words[0]]
    if len(words) - 1 < least or (words[0] in ("diff", "export") and len(words) - 1 > least):
        raise ValueError(f"{words[0]} takes {least} {'place' if least == 1 else 'places'}, as runs/lm or runs/lm@500")
    return program(list(words[1:]))


if __name__ == "__main__":
    from launch import output

    flags.DEFINE_string("to", None, "export: the file, NAME.safetensors")
    flags.DEFINE_string("part", None, "export: a part of the state; the weights that samples use if not said")
    output.define()
    flags.DEFINE_integer("keep", 1, "gc: how many of the newest intact checkpoints stay", lower_bound=1)
    flags.DEFINE_integer("keep_every", None, "gc: those at multiples of this step stay as well", lower_bound=1)
    flags.DEFINE_bool("dry_run", False, "gc: say what would go, and leave it")
    command.run_words(main)
