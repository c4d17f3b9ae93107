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

from absl import flags

from gen.config import nearest
from launch import cli

PLACES = {"list": 1, "verify": 1, "diff": 2, "export": 1, "gc": 1}  # at least so many; diff and export: no more


def main(args, words: Sequence[str]) -> int:
    if not words or words[0] not in PLACES:
        said = nearest(words[0], PLACES) if words else f"there are {', '.join(PLACES)}"
        raise ValueError(f"say what to do, as `list DIR`; {said}")
    what, *places = words
    least = PLACES[what]
    if len(places) < least or (what in ("diff", "export") and len(places) > least):
        raise ValueError(f"{what} takes {least} {'place' if least == 1 else 'places'}, as runs/lm or runs/lm@500")

    os.environ["JAX_PLATFORMS"] = "cpu"
    from launch.checkpoint import collect, compare, export, listing, verify

    programs: dict[str, Callable[[], int]] = {
        "list": lambda: listing.show(places),
        "verify": lambda: verify.verify(places),
        "diff": lambda: compare.compare(*places),
        "export": lambda: export.export(places[0], args.to, args.part, args.overwrite),
        "gc": lambda: collect.collect(places, args.keep, args.keep_every, args.dry_run),
    }
    return programs[what]()


if __name__ == "__main__":
    flags.DEFINE_string("to", None, "export: the file, NAME.safetensors")
    flags.DEFINE_string("part", None, "export: a part of the state; the weights that samples use if not said")
    cli.define_overwrite()
    flags.DEFINE_integer("keep", 1, "gc: how many of the newest intact checkpoints stay", lower_bound=1)
    flags.DEFINE_integer("keep_every", None, "gc: those at multiples of this step stay as well", lower_bound=1)
    flags.DEFINE_bool("dry_run", False, "gc: say what would go, and leave it")
    cli.run_words(main)
