"""Training steps from the checkpoint before them: the same batches, noise and program, and so the same numbers."""

import math
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import gen
from gen import exit_codes
from gen.replay import comparison as verdict
from gen.replay.rerun import Launched, Rerun
from gen.training import damage, log, metrics
from gen.training.state import State


def replay(workdir: Path, step: int, eager: bool, moved: Sequence[tuple[str, Any]] = ()) -> int:
    """Does the steps from the checkpoint before up to `step` again, or to the next that was logged, and compares their
    metrics with the log; with `eager` then `step` once more, operation by operation, to find where a NaN comes from.
    Returns the worse exit status. Raises ValueError for a step that no logged one follows."""
    past = Rerun(workdir, moved)
    logged = {int(row["step"]): row for row in metrics.read(past.run.metrics_jsonl) if "streak" in row}
    if step > max(logged, default=-1):
        newest = f"the newest that it logged is {max(logged)}" if logged else "it logged none"
        raise ValueError(f"{workdir} has nothing to compare step {step} with: {newest}")
    stop = min(row for row in logged if row >= step)
    kept: list[Any] = []

    def watch(now: int, state: State, batch: Any) -> None:
        if eager and now == step:
            kept.extend([jax.tree.map(jnp.copy, state), batch])

    start, state = past.before(step)
    done = {now: log.scalars(values) for now, _, values in past.forward(start, state, stop + 1, watch)}
    code = compare(f"steps {start} to {stop}", logged, done, past.changed)
    return max(code, step_by_step(past.launched(past.launch_of(step)), step, *kept)) if eager else code


def compare(what: str, logged: Mapping[int, Any], done: Mapping[int, Any], changed: Iterable[str]) -> int:
    """Compares metrics of steps with those that were logged; says so, and returns an exit status."""
    rows = [now for now in done if now in logged]
    wrong = [f"step {now}: {line}" for now in rows for line in apart(logged[now], done[now])]
    if wrong:
        return verdict.differs("; ".join(wrong[:6]) + ("; ..." if len(wrong) > 6 else ""), changed)
    return verdict.same(f"{what}: {len(rows)} logged rows are the same, bit for bit", changed)


def apart(then: Mapping[str, Any], now: Mapping[str, float]) -> list[str]:
    """The metrics that differ."""
    equal = lambda a, b: a == b or (math.isnan(a) and math.isnan(b))
    names = sorted((then.keys() | now.keys()) - {"step", damage.METRIC})  # not of a step alone
    return [
        f"{name} was {then.get(name)!r}, is {now.get(name)!r}"
        for name in names
        if name not in then or name not in now or not equal(then[name], now[name])
    ]


def step_by_step(launched: Launched, step: int, state: State, batch: Any) -> int:
    """The step without a compiler, stopping at the first operation that makes a NaN; says where it is."""
    print(f"step {step}, operation by operation")
    try:
        with jax.set_mesh(launched.made.mesh), jax.disable_jit(), jax.debug_nans(True):
            _, values = launched.program.step(state, launched.frozen, batch, launched.key)
            found = log.scalars(values)
    except FloatingPointError as error:
        home = Path(gen.__file__).parent
        frames = [one for one in traceback.extract_tb(error.__traceback__) if Path(one.filename).is_relative_to(home)]
        print(f"the first NaN: {str(error).splitlines()[0]}")
        for frame in frames[-4:]:
            print(f"  {Path(frame.filename).name}:{frame.lineno}, in {frame.name}: {frame.line}")
        return exit_codes.FAILED
    print("no NaN; " + ", ".join(f"{name} {value:.6g}" for name, value in found.items()))
    return exit_codes.DONE
