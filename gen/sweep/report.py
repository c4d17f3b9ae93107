"""The report of a sweep: a table, the best trial first, and a page with each key against the metric, and curves.

found = gather(sweep, "eval/loss", most=False)
write(sweep, found)             # DIR/index.html and DIR/table.csv
rich.print(table(found))
"""

import csv
import dataclasses
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
from rich.markup import escape
from rich.table import Table

from gen import files
from gen.messages import harmless
from gen.sweep.space import Overrides
from gen.sweep.sweep_dir import Sweep
from gen.sweep.trial_status import Outcome, outcome
from gen.sweep.trials import as_flag

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402 (after the backend is chosen)

PAGE = Path(__file__).with_name("page.html")
SPAN = 8  # values that differ by this factor or more are drawn on a logarithmic axis
FEW = 6  # values are all marked on their axis


@dataclasses.dataclass(frozen=True)
class ReportRow:
    """One trial, and what has become of it."""

    trial: str
    overrides: Overrides
    outcome: Outcome

    @property
    def number(self) -> float:
        """The metric, NaN where there is none or the trial diverged: such a loss is of before it did."""
        value = self.outcome.value
        return math.nan if value is None or self.outcome.state == "diverged" else value


@dataclasses.dataclass(frozen=True)
class Found:
    """The trials of a sweep, the best first, by the metric `target`, of which `most` is best, or the least."""

    rows: list[ReportRow]
    target: str
    most: bool

    @property
    def keys(self) -> list[str]:
        """The config keys that trials set, in the order in which they first do."""
        return list(dict.fromkeys(key for row in self.rows for key in row.overrides))


def gather(sweep: Sweep, target: str, most: bool) -> Found:
    of = lambda name: outcome(sweep.place(name), target, sweep.steps(name))
    rows = [ReportRow(name, trial, of(name)) for name, trial in sweep.trials.items()]
    rank = lambda row: (math.isnan(row.number), -row.number if most else row.number)
    return Found(sorted(rows, key=rank), target, most)


def table(found: Found) -> Table:
    """For a terminal."""
    text = lambda value: escape(harmless(value))  # values in brackets are no markup
    shown = Table(*map(text, columns(found)), title=text(summary(found)))
    for row in cells(found):
        shown.add_row(*map(text, row))
    return shown


def write(sweep: Sweep, found: Found) -> None:
    """The page and the table, in place of those before. Raises CannotWrite."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns(found), *cells(found)])
    files.write_text(sweep.path / "table.csv", text.getvalue())
    best = found.rows[0]
    values = {
        "title": f"{sweep.path.name}: {sweep.name} of {sweep.config}",
        "summary": summary(found),
        "best": None if math.isnan(best.number) else sweep.command(best.trial),
        "plots": [*(against(found, key) for key in found.keys), curves(found)],
        "columns": columns(found),
        "rows": cells(found),
    }
    files.write_text(sweep.path / "index.html", jinja2.Template(PAGE.read_text(), autoescape=True).render(values))


def summary(found: Found) -> str:
    states = [row.outcome.state for row in found.rows]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return f"{len(states)} trials ({counts}), by {found.target}, the {'most' if found.most else 'least'} first"


def columns(found: Found) -> list[str]:
    return [found.target, *found.keys, "trial", "state", "step"]


def cells(found: Found) -> list[list[str]]:
    return [
        [
            "" if math.isnan(row.number) else f"{row.number:.6g}",
            *("" if key not in row.overrides else as_flag(row.overrides[key]) for key in found.keys),
            row.trial,
            row.outcome.state,
            str(row.outcome.step),
        ]
        for row in found.rows
    ]


def against(found: Found, key: str) -> str:
    """The metric by one key, as SVG; a trial is a point."""
    figure, axes = pyplot.subplots(figsize=(4, 2.6), layout="constrained")
    points = [(row.overrides[key], row.number) for row in found.rows if key in row.overrides]
    points = [(x, y) for x, y in points if math.isfinite(y)]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in xs)
    axes.plot(xs if numbers else [as_flag(x) for x in xs], ys, "o", alpha=0.7)
    if numbers and spread(xs):
        axes.set_xscale("log")
    if numbers and len(set(xs)) <= FEW:
        axes.set_xticks(sorted(set(xs)), [as_flag(x) for x in sorted(set(xs))])
        axes.minorticks_off()
    if spread(ys):
        axes.set_yscale("log")
    axes.set(xlabel=key, ylabel=found.target)
    return svg(figure)


def curves(found: Found) -> str:
    """The metric by step of every trial, the best in front."""
    figure, axes = pyplot.subplots(figsize=(4, 2.6), layout="constrained")
    for place, row in reversed(list(enumerate(found.rows))):
        points = [(r["step"], r[found.target]) for r in row.outcome.rows if found.target in r]
        color, width = ("tab:red", 1.6) if place == 0 else ("0.6", 0.8)
        xs, ys = [x for x, _ in points], [y for _, y in points]
        axes.plot(xs, ys, color=color, linewidth=width, marker="o" if len(points) == 1 else None)
    axes.set(xlabel="step", ylabel=found.target)
    return svg(figure)


def spread(values: Sequence[Any]) -> bool:
    """Whether positive numbers are so far apart that a logarithmic axis shows them better."""
    return bool(values) and min(values) > 0 and max(values) / min(values) >= SPAN


def svg(figure: Any) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    pyplot.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
