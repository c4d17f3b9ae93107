"""`diff`: which arrays of two checkpoints differ, by how much, and which keys of their configs."""

from pathlib import Path
from typing import Any

import rich
from rich.table import Table
from rich.text import Text

from gen import config, exit_codes
from gen.checkpoint import verify
from gen.checkpoint.checksums import DamagedCheckpoint
from gen.messages import bare, harmless, short
from gen.training.run_dir import RunDir
from launch.checkpoint import place


def compare(one: str, other: str) -> int:
    first, second = place.one(one), place.one(other)
    try:
        found = verify.differences(first, second)
    except DamagedCheckpoint as error:
        raise ValueError(f"{first} and {second} cannot be compared: {error}; verify both") from error
    for key, (here, there) in configs(first, second).items():
        print(harmless(f"config {key}: {short(here)}, {short(there)}"))
    if not found:
        print(harmless(f"{first} and {second} hold the same arrays, bit for bit"))
        return exit_codes.DONE
    table = Table("array", "differs", "largest", "relative", title=Text(harmless(f"{first} and {second}")))
    table.columns[0].overflow = "fold"
    for array in found:
        table.add_row(Text(bare(array.path)), Text(array.said), _number(array.largest), _number(array.relative))
    rich.print(table)
    return exit_codes.FAILED


def configs(first: Path, second: Path) -> dict[str, tuple[Any, Any]]:
    """{key: both values} of what differs in the configs of the runs that two steps belong to."""
    flat = []
    for step in (first, second):
        run = RunDir(step.parent.parent)
        flat.append(config.flatten(run.config()) if run.config_json.exists() else {})
    keys = sorted(flat[0].keys() | flat[1].keys())
    return {key: (flat[0].get(key), flat[1].get(key)) for key in keys if flat[0].get(key) != flat[1].get(key)}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
