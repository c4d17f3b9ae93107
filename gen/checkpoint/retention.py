"""Which checkpoints of a run stay, and what is cleared away beside them."""

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

LEFTOVERS = ("*.orbax-checkpoint-tmp*", "*.removed", "*.partial")


def expired_steps(
    present: Sequence[int], damaged: Collection[int], newest: int, keep: int, keep_every: int | None
) -> list[int]:
    """The steps, of those `present` in order, that need not stay once `newest` is on disk: all but the last `keep`
    that are not damaged, and multiples of `keep_every`."""
    good = [step for step in present if step not in damaged]
    kept = {newest, *good[-keep:], *(step for step in good if keep_every and step % keep_every == 0)}
    return [step for step in present if step not in kept]


def clear_leftovers(directory: Path) -> list[str]:
    """Removes what saves and removals that were cut short have left; returns what could not be removed, and why."""
    problems = []
    for path in (path for pattern in LEFTOVERS for path in directory.glob(pattern)):
        try:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        except OSError as error:
            problems.append(f"{path} is left over and cannot be removed: {error}")
    return problems
