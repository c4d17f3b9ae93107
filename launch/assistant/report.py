"""The table of a recipe: a row for each model, means over seeds with the least and the most."""

from collections.abc import Callable, Mapping
from statistics import mean
from typing import Any

NAMES = {
    "base": "base, two examples shown",
    "sft": "fine-tuned (SFT)",
    "longer": "SFT, continued for PPO's compute",
    "ppo": "PPO",
    "dpo": "DPO",
    "grpo": "GRPO",
}

COLUMNS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "right, drawn": lambda found: found["drawn"]["right"]["rate"],
    "right, greedy": lambda found: found["greedy"]["right"]["rate"],
    "KL to SFT, nats": lambda found: found["kl"],
    "length, tokens": lambda found: found.get("drawn", found["greedy"])["length"],
    "end by themselves": lambda found: found.get("drawn", found["greedy"])["ended"],
}


def table(findings: Mapping[int, Mapping[str, Any]]) -> str:
    """`findings` of each seed, as Markdown."""
    first = next(iter(findings.values()))
    lines = ["| model | " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for stage, name in NAMES.items():
        if stage in first:
            cells = [spread([column(found[stage]) for found in findings.values()]) for column in map(guarded, COLUMNS)]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    agrees = spread([found["reward"]["accuracy"] for found in findings.values()])
    lines += ["", f"The reward model prefers the right one of two answers by the fine-tuned model: {agrees}."]
    return "\n".join(lines) + "\n"


def guarded(column: str) -> Callable[[Mapping[str, Any]], Any]:
    """The value of a column, or None where a row has none."""

    def value(found: Mapping[str, Any]) -> Any:
        try:
            return COLUMNS[column](found)
        except KeyError:
            return None

    return value


def spread(values: list[Any]) -> str:
    """The mean, and from where to where the seeds lie."""
    if None in values:
        return ""
    return f"{mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
