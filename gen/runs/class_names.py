"""A classifier's labels, kept with its run, and how well it tells them apart, shown to a person.

keep(Path("runs/classifier"), ("asyncio", "email"))         # DIR/labels.json
read(Path("runs/classifier"))                               # ("asyncio", "email"), by the numbers of the classes
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import rich
from rich.table import Table
from rich.text import Text

from gen import files
from gen.evals import classification
from gen.messages import harmless, say

LABELS = "labels.json"


class _File(TypedDict):
    labels: list[str]


def keep(place: Path, labels: Sequence[str]) -> None:
    """Writes the labels of a new run. Raises ValueError when the run was begun on others."""
    if (place / LABELS).exists():
        check(place, labels)
    else:
        files.write_json(place / LABELS, {"labels": list(labels)})


def read(place: Path) -> tuple[str, ...]:
    """Raises ValueError when the file is missing or damaged."""
    return tuple(files.read_json(place / LABELS, _File)["labels"])


def check(place: Path, labels: Sequence[str]) -> None:
    """Raises ValueError when the data's labels are not those that a run was begun on."""
    before = read(place)
    if before == tuple(labels):
        return
    gone, new = ", ".join(sorted({*before} - {*labels})), ", ".join(sorted({*labels} - {*before}))
    raise ValueError(
        f"{place} was begun on other labels than its data has now (gone: {gone or 'none'}; new: {new or 'none'}); "
        "bring the old data back, or train in another directory"
    )


def show(name: str, result: dict[str, Any], folder: Path | None) -> None:
    """Precision, recall and F1 of each class, from a result of gen.evals.classification; the confusion matrix as a
    picture in `folder`, if there is one."""
    shown = Table("label", "precision", "recall", "F1", "texts", title=Text(harmless(f"{name}, by label")))
    for column in shown.columns[1:]:
        column.justify = "right"
    for label, of in result["classes"].items():
        shown.add_row(
            Text(harmless(label)), *(f"{of[name]:.3f}" for name in ("precision", "recall", "f1")), str(of["texts"])
        )
    rich.print(shown)
    if folder is None:
        return
    with files.replacing(files.make_folder(folder) / "confusion.png") as partial:
        classification.plot(result, partial)
    say(f"who is taken for whom: {folder / 'confusion.png'}")
