"""The table of a recipe: a row for each model, means over seeds with the least and the most."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from gen import tree

NAMES = {
    "base": "base, two examples shown",
    "sft": "fine-tuned (SFT)",
    "longer": "SFT, continued for PPO's compute",
    "ppo": "PPO",
    "dpo": "DPO",
    "grpo": "GRPO",
}

# a column's place in a row's results, and where else to look; what is in neither stays empty
COLUMNS = {
    "right, drawn": ["drawn/right/rate"],
    "right, greedy": ["greedy/right/rate"],
    "KL to SFT, nats": ["kl"],
    "length, tokens": ["drawn/length", "greedy/length"],
    "end by themselves": ["drawn/ended", "greedy/ended"],
}


def table(findings: Mapping[int, Mapping[str, Any]]) -> str:
    """`findings` of each seed, as Markdown."""
    first = next(iter(findings.values()))
    lines = ["| model | " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for stage, name in NAMES.items():
        if stage in first:
            rows = [dict(tree.paths(found[stage])) for found in findings.values()]
            cells = [spread([value(row, places) for row in rows]) for places in COLUMNS.values()]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    agrees = spread([found["reward"]["accuracy"] for found in findings.values()])
    lines += ["", f"The reward model prefers the right one of two answers by the fine-tuned model: {agrees}."]
    return "\n".join(lines) + "\n"


def value(row: Mapping[str, Any], places: Sequence[str]) -> Any:
    """What a row has at the first of these places, or None."""
    return next((row[place] for place in places if place in row), None)


def spread(values: list[Any]) -> str:
    """The mean, and from where to where the seeds lie."""
    if None in values:
        return ""
    middle, least, most = (f"{value:z.3f}" for value in (mean(values), min(values), max(values)))
    return f"{middle} ({least} to {most})"
