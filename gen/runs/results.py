"""Results of an evaluation as they are kept: evaluation.json and the pictures of a run, where they can be written.

place = open_place(Path("runs/lm"), None)
place.keep({"step": 500, "digest": "5f0c...", "metrics": {"loss": 3.2}})
plot(result, place.pictures / "fewshot.png")
place.tell()                                      # notes where nothing could be written
"""

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gen import files, jsonfile
from gen.jsonfile import NotReadable
from gen.messages import note
from gen.runs import output

FILE, PICTURES = "evaluation.json", "evaluation"
OF = ("step", "digest", "directory")  # which weights results are of


class ResultsDir:
    """Where the results of one run go. `problem` says why nothing can be written, where nothing can."""

    def __init__(self, where: Path, problem: str | None):
        self.where, self.problem = where, problem
        # what draws pictures draws them in any case
        self._temporary = tempfile.TemporaryDirectory(prefix="gen-evaluation-") if problem else None
        self._before: dict[str, Any] | None = None

    @property
    def pictures(self) -> Path:
        return Path(self._temporary.name) if self._temporary else self.where / PICTURES

    def keep(self, results: Mapping[str, Any]) -> None:
        """Writes evaluation.json, with what it has of the same weights; that of others gets another name."""
        if self.problem:
            return
        path = self.where / FILE
        if self._before is None:
            self._before = _read(path)
            if any(self._before.get(key) != results.get(key) for key in OF):
                output.aside(path)
                output.aside(self.where / PICTURES)
                self._before = {}
        with files.writing(self.where):
            self.where.mkdir(parents=True, exist_ok=True)
        files.write_json(path, plain({**self._before, **results}))

    def tell(self) -> None:
        """Says where the results are."""
        if self.problem:
            note(f"{self.problem}; the results are shown here alone: give --out=DIR to keep them")
        if self._temporary:
            self._temporary.cleanup()


def open_place(own: Path, out: Path | None) -> ResultsDir:
    """The place of a run's results: its directory or `out`. Raises CannotWrite where `out` cannot be written."""
    if out is None:
        return ResultsDir(own, output.refusal(own))
    return ResultsDir(output.folder(out), None)


def plain(value: Any) -> Any:
    """Data as JSON holds it: what is not finite as text, "nan", "inf" or "-inf", as in metrics.jsonl."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def _read(path: Path) -> dict[str, Any]:
    """The results of an earlier evaluation; empty if they cannot be read."""
    try:
        return jsonfile.read(path)
    except (NotReadable, OSError):
        return {}
