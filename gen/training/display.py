"""What a person sees of a run: a live line on a terminal, plain lines elsewhere.

with Display("decoder", steps=1000) as display:
    display.begin(start=0, flops=2_000_000_000, peak=0.0)
    display.update(step, {"loss": 0.5})
    display.say("wrote samples/1000.png")
"""

import time
from collections.abc import Mapping

import jax
import rich
from rich import progress
from rich.console import Console

from gen.messages import harmless

# Seconds between the lines of a log that is no terminal.
QUIET = 10.0


class Display:
    """Progress of one run, named and of `steps` steps; one that is not `shown` says nothing."""

    def __init__(self, name: str, steps: int, shown: bool = True):
        self.name, self.steps = name, steps
        self._flops, self._peak = 0, 0.0
        self._first: tuple[int, float] | None = None  # the first step shown, and when
        self._last = -QUIET
        # of several processes the first speaks for all
        self._console = rich.get_console() if shown and jax.process_index() == 0 else Console(quiet=True)
        self._bar = progress.Progress(
            progress.TextColumn("[bold]{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[note]}"),
            progress.TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._row = self._bar.add_task(name, total=steps, note="")

    def begin(self, start: int, flops: int, peak: float) -> None:
        """From step `start`; `flops` is what a step computes, `peak` what the devices can in a second (0: unknown)."""
        self._flops, self._peak = flops, peak
        self._bar.update(self._row, completed=start, note=f"compiling {flops / 1e9:.3g} GFLOP a step")

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """Shows the metrics of `step`. The rate is that of the steps since the first one shown, which compiles."""
        now = time.monotonic()
        first, began = self._first = self._first or (step, now)
        rate = (step - first) / (now - began) if step > first else 0.0
        parts = [f"{name} {value:.4g}" for name, value in metrics.items()]
        if rate:
            parts.append(f"{rate:.2f} steps/s  {rate * self._flops / 1e9:.1f} GFLOP/s")
        if rate and self._peak:
            parts.append(f"MFU {rate * self._flops / self._peak:.0%}")
        note = "  ".join(parts)
        self._bar.update(self._row, completed=step + 1, note=note)
        if not self._console.is_terminal and (now - self._last > QUIET or step + 1 == self.steps):
            self._last = now
            left = f"  {(self.steps - step - 1) / rate:.0f} s left" if rate else ""
            self.say(f"{self.name}  step {step + 1}/{self.steps}  {note}{left}")

    def say(self, line: str) -> None:
        """A line above the progress."""
        self._bar.console.print(harmless(line), highlight=False, markup=False, soft_wrap=True)

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
