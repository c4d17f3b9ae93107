"""`verify`: every file and every array against what was saved; what is damaged is named."""

from collections.abc import Sequence
from pathlib import Path

from gen import status
from gen.messages import harmless
from gen.train import verify as steps
from launch import ancestry
from launch.checkpoint import place


def verify(places: Sequence[str]) -> int:
    """Says of each step whether it is intact; returns an exit status: of one step that is damaged, or some of a run,
    status.FAILED, of a run with nothing left status.NO_CHECKPOINT."""
    damaged, hopeless = 0, 0
    for where in places:
        for folder, found in place.found(where).items():
            bad = [step for step in found if not intact(folder / str(step))]
            damaged += len(bad)
            hopeless += len(bad) == len(found) and ancestry.split(where)[1] is None
    if hopeless:
        return status.NO_CHECKPOINT
    return status.FAILED if damaged else status.DONE


def intact(path: Path) -> bool:
    problems = steps.problems(path)
    print(harmless(f"{path}: " + ("intact" if not problems else "DAMAGED")))
    for problem in problems:
        print(harmless(f"  {problem}"))
    return not problems
