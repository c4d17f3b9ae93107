"""What has become of a trial, read from its run directory: whoever ran it, here or on a cluster, leaves the same.

outcome(Path("runs/sweep/trials/1f6c02a9"), "eval/loss")     # Outcome("done", 1000, 2.31, rows)
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from gen import exit_codes
from gen.runs import stack
from gen.training import metrics
from gen.training.lock import held
from gen.training.run_dir import RunDir

State = Literal["missing", "unfinished", "running", "done", "diverged"]
FINISHED = ("done", "diverged")  # running it again would change nothing


class Outcome(NamedTuple):
    """`value` is the metric that trials are compared by, of the last step that has it; None where none has. `seconds`
    is not there: trials may have been stopped, and run anywhere."""

    state: State
    step: int
    value: float | None
    rows: list[dict[str, int | float]]


def outcome(place: Path, target: str, steps: Mapping[str, int]) -> Outcome:
    """Of a run, or of a stack, which is judged by its last stage; `steps` says how many a run, or each stage of a stack
    by name, has to have trained."""
    found = parts(place)
    runs = [RunDir(path) for path in found.values()]
    ended = [ending(RunDir(path), steps.get(name)) for name, path in found.items()]
    state: State
    if exit_codes.DIVERGED in ended:
        state = "diverged"
    elif ended[-1] == exit_codes.DONE:
        state = "done"
    elif held(place / "lock"):
        state = "running"
    else:
        state = "unfinished" if runs[0].config_json.exists() else "missing"
    rows = metrics.read(runs[-1].metrics_jsonl)
    values = [float(row[target]) for row in rows if target in row]
    return Outcome(state, int(rows[-1]["step"]) if rows else 0, values[-1] if values else None, rows)


def parts(place: Path) -> dict[str, Path]:
    """The run directories of a trial by name: itself, without one, or the stages of a stack."""
    return stack.places(place) if (place / stack.STACK).exists() else {"": place}


def ending(run: RunDir, steps: int | None) -> int | None:
    """The status with which the last launch of a run ended, None where it was cut off or was of other length."""
    launches = run.launches()
    if not launches or steps not in (None, launches[-1].get("steps")):
        return None
    return launches[-1].get("status")
