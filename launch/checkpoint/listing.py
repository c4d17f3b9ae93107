"""`list`: every checkpoint with its size, age and what is known of it, without reading its arrays."""

import datetime
import math
from collections.abc import Sequence
from pathlib import Path

import rich
from rich.table import Table
from rich.text import Text

from gen import files
from gen.checkpoint import step_dir
from gen.checkpoint.checksums import DamagedCheckpoint
from gen.files import UnsafePath
from gen.messages import harmless
from launch.checkpoint import place


def show(places: Sequence[str]) -> int:
    for where in places:
        for folder, steps in place.found(where).items():
            rich.print(listing(folder, steps))
    return 0


def listing(folder: Path, steps: Sequence[int]) -> Table:
    found = Table("step", "saved", "MB", "arrays", "numbers", "digest", "proof", title=Text(harmless(str(folder))))
    for column in (found.columns[i] for i in (0, 2, 3, 4)):
        column.justify = "right"
    for step in steps:
        found.add_row(str(step), *map(Text, described(folder / str(step))))
    return found


def described(path: Path) -> tuple[str, ...]:
    """When it was saved, its size, what it says that it holds, and whether its files are recorded."""
    try:
        size = sum(file.stat().st_size for file in files.regular_files(path).values())
        saved = datetime.datetime.fromtimestamp(path.stat().st_mtime).isoformat(" ", "seconds")
        contents = step_dir.contents(path)
    except (DamagedCheckpoint, UnsafePath, OSError) as error:
        return ("", "", "", "", "", harmless(f"damaged: {error}"))
    numbers = sum(math.prod(one.shape) for one in contents.arrays.values())
    recorded = "arrays and files" if step_dir.files_record(path).exists() else "arrays"
    held = f"{len(contents.arrays)}", f"{numbers / 1e6:,.2f} M"
    return (saved, f"{size / 1e6:,.1f}", *held, contents.digest(), recorded)
