"""`gc`: old checkpoints go, and never the last that is intact."""

from collections.abc import Sequence
from pathlib import Path

from gen import exit_codes
from gen.checkpoint import step_dir, verify
from gen.checkpoint.retention import clear_leftovers
from gen.messages import harmless, note
from gen.runs import branch
from gen.training.run_dir import RunDir
from launch.checkpoint import place


def collect(places: Sequence[str], keep: int, keep_every: int | None, dry_run: bool) -> int:
    """Returns status.NO_CHECKPOINT where a run has no intact checkpoint; there nothing is removed."""
    code = exit_codes.DONE
    for where in places:
        if branch.split(where)[1] is not None:
            raise ValueError(f"{where}: gc takes a run, not a step of one")
        for folder, steps in place.found(where).items():
            run = RunDir(folder.parent)
            run.take()  # not under the hands of a job that writes there
            try:
                code = clear(folder, steps, keep, keep_every, dry_run) or code
            finally:
                run.release()
    return code


def clear(folder: Path, steps: Sequence[int], keep: int, keep_every: int | None, dry_run: bool) -> int:
    stay = newest_intact(folder, steps, keep)
    if not stay:
        print(harmless(str(folder)) + ": no checkpoint is intact; nothing is removed, verify says what is wrong")
        return exit_codes.NO_CHECKPOINT
    stay |= {step for step in steps if keep_every and step % keep_every == 0}
    gone = [folder / str(step) for step in steps if step not in stay]
    for path, why in [(path, step_dir.misplaced(path)) for path in gone]:
        if why:
            note(f"{path} is left: {why}")
            gone.remove(path)
    size = sum(file.stat().st_size for path in gone for file in path.rglob("*") if file.is_file())
    if not dry_run:
        for path in gone:
            step_dir.remove(path)
        for problem in clear_leftovers(folder):
            note(problem)
    names = ", ".join(path.name for path in gone) or "nothing"
    done = "would remove" if dry_run else "removed"
    print(harmless(f"{folder}: {done} {names} ({size / 1e6:,.1f} MB)"))
    return exit_codes.DONE


def newest_intact(folder: Path, steps: Sequence[int], count: int) -> set[int]:
    found: set[int] = set()
    for step in sorted(steps, reverse=True):
        if len(found) < count and not verify.problems(folder / str(step)):
            found.add(step)
    return found
