"""What a user may write for checkpoints: a run, a stack, a folder of checkpoints, or one step of these.

found("runs/digits")      # {Path("runs/digits/clip/checkpoints"): [500, 1000], ...}
one("runs/lm@500")        # Path("runs/lm/checkpoints/500")
"""

from collections.abc import Sequence
from pathlib import Path

from gen.checkpoint import restore
from gen.runs import branch


def found(place: str) -> dict[Path, list[int]]:
    """The steps of every folder of checkpoints under a place, or the one that it names. Raises ValueError for none."""
    where, step = branch.split(place)
    folders = [where] if where.name == "checkpoints" else sorted(where.glob("**/checkpoints"))
    every = {folder: restore.steps(folder) for folder in folders}
    if step is None:
        chosen = {folder: steps for folder, steps in every.items() if steps}
    else:
        chosen = {folder: [step] for folder, steps in every.items() if step in steps}
    if not chosen:
        there = sorted({n for steps in every.values() for n in steps})
        raise ValueError(f"{place} holds no checkpoint{f'; there are {_few(there)}' if there else ''}")
    return chosen


def one(place: str) -> Path:
    """The newest step of the one run at a place, or the one that it names. Raises ValueError for none or several."""
    chosen = found(place)
    if len(chosen) > 1:
        runs = ", ".join(str(folder.parent) for folder in chosen)
        raise ValueError(f"{place} holds several runs: name one of {runs}")
    ((folder, steps),) = chosen.items()
    return folder / str(steps[-1])


def _few(steps: Sequence[int]) -> str:
    return ", ".join(map(str, steps[:8])) + (", ..." if len(steps) > 8 else "")
