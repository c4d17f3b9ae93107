"""What a person sees of a run: a live line on a terminal, plain lines elsewhere.

with Display("decoder", steps=1000, start=0, flops=2e9) as display:
    display.update(step, {"loss": 0.5})
    display.say("wrote samples/1000.png")
"""

import time
from collections.abc import Mapping

import rich
from rich import progress

# Seconds between the lines of a log that is no terminal.
QUIET = 10.0


class Display:
    """Progress of one run; `flops` is what a step computes, `peak` what the devices can do in a second (0: unknown)."""

    def __init__(self, name: str, steps: int, start: int, flops: float = 0.0, peak: float = 0.0):
        self.name, self.steps, self.start = name, steps, start
        self.flops, self.peak = flops, peak
        self._console = rich.get_console()
        self._began = self._last = time.monotonic()
        self._bar = progress.Progress(
            progress.TextColumn("[bold]{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[note]}"),
            progress.TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._row = self._bar.add_task(name, total=steps, completed=start, note="")

    def update(self, step: int, metrics: Mapping[str, float]) -> None:
        """Shows the metrics of `step`."""
        now, done = time.monotonic(), step + 1 - self.start
        rate = done / max(now - self._began, 1e-9)
        parts = [f"{name} {value:.4g}" for name, value in metrics.items()]
        parts.append(f"{rate:.2f} steps/s")
        if self.flops:
            parts.append(f"{rate * self.flops / 1e9:.1f} GFLOP/s")
        if self.flops and self.peak:
            parts.append(f"MFU {rate * self.flops / self.peak:.0%}")
        note = "  ".join(parts)
        self._bar.update(self._row, completed=step + 1, note=note)
        if not self._console.is_terminal and (now - self._last > QUIET or step + 1 == self.steps):
            self._last = now
            left = (self.steps - step - 1) / rate
            self.say(f"{self.name}  step {step + 1}/{self.steps}  {note}  {left:.0f} s left")

    def say(self, line: str) -> None:
        """A line above the progress."""
        self._bar.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def __enter__(self) -> "Display":
        self._bar.start()
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
