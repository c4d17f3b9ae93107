"""`verify`: every file and every array against what was saved, and the log of the run; what is damaged is named."""

from collections.abc import Sequence
from pathlib import Path

from gen import exit_codes, jsonfile
from gen.checkpoint import step_dir
from gen.checkpoint import verify as steps
from gen.checkpoint.checksums import DamagedCheckpoint
from gen.jsonfile import NotReadable
from gen.messages import say
from gen.runs import branch
from gen.training import metrics
from gen.training.metrics import Seal
from gen.training.run_dir import RunDir
from launch.checkpoint import place


def verify(places: Sequence[str]) -> int:
    """Says of each step whether it is intact; returns an exit status: of one step that is damaged, some of a run, or
    a changed log, status.FAILED, of a run with nothing left status.NO_CHECKPOINT."""
    damaged, hopeless = 0, 0
    for where in places:
        for folder, found in place.found(where).items():
            bad = [step for step in found if not intact(folder / str(step))]
            damaged += len(bad) + (not log_holds(folder, [step for step in found if step not in bad]))
            hopeless += len(bad) == len(found) and branch.split(where)[1] is None
    if hopeless:
        return exit_codes.NO_CHECKPOINT
    return exit_codes.FAILED if damaged else exit_codes.DONE


def intact(path: Path) -> bool:
    problems = steps.problems(path)
    say(f"{path}: " + ("intact" if not problems else "DAMAGED"))
    for problem in problems:
        say(f"  {problem}")
    return not problems


def log_holds(folder: Path, found: Sequence[int]) -> bool:
    """Whether the log of a run is what its intact checkpoints have recorded of it; says where it is not."""
    log = RunDir(folder.parent).metrics_jsonl
    good = 0
    for step in found:
        try:
            then = seal(folder / str(step))
            if then is None or metrics.holds(log, then):
                good = step
                continue
            why = ""
        except (DamagedCheckpoint, NotReadable) as error:
            why = f": {error}"
        say(f"{log}: CHANGED since it was logged, in the lines of steps {good} to {step - 1}{why}")
        return False
    return True


def seal(path: Path) -> Seal | None:
    """The seal of its run's log in a checkpoint; None for one without, such as a pack of several runs."""
    found = step_dir.contents(path).extra.get("metrics")
    return None if isinstance(found, list) else jsonfile.check(found, Seal | None, f"{path}: metrics")
