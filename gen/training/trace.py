"""An xprof trace of some steps, for TensorBoard's profile tab.

with Trace((100, 105), run.path / "trace") as trace:
    for step in range(start, stop):
        trace.before(step, state)
        state = step_fn(state)
"""

from pathlib import Path
from typing import Any

import jax

from gen import files


class Trace:
    """Traces the steps from the first to the last of `span`, both included, or none; a run may end or resume amid."""

    def __init__(self, span: tuple[int, int] | None, directory: Path):
        """Raises ValueError for a span that ends before it starts."""
        if span is not None and span[0] > span[1]:
            raise ValueError(f"train.trace={span}: the first step to trace comes after the last")
        self._span, self._directory, self._tracing = span, directory, False

    def before(self, step: int, computing: Any) -> None:
        """To be called before `step` is dispatched; `computing` are arrays that earlier steps may still be making."""
        due = self._span is not None and self._span[0] <= step <= self._span[1]
        if due == self._tracing:
            return
        jax.block_until_ready(computing)
        if due:
            files.check_own(self._directory)
            jax.profiler.start_trace(str(self._directory))
        else:
            jax.profiler.stop_trace()
        self._tracing = due

    def __enter__(self) -> "Trace":
        return self

    def __exit__(self, *_: object) -> None:
        if self._tracing:
            jax.profiler.stop_trace()
