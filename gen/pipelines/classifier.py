"""A trained classifier of texts as an object.

classifier = Classifier.open("runs/classifier", mesh)
classifier.classify(["import asyncio"])[0].best            # "asyncio"
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from gen import config, files
from gen.models.lm_with_head import lm_with_head_spec
from gen.runs import class_names
from gen.runs.reader import Run
from gen.sample.text_classifier import LabelProbabilities, TextClassifier
from gen.tasks.classify import ClassifyTaskConfig


@dataclasses.dataclass(frozen=True, eq=False)
class Classifier:
    """`weights` says which the parameters are."""

    model: TextClassifier
    weights: Mapping[str, Any]

    @classmethod
    def open(cls, place: str | Path, mesh: Mesh, batch: int = 16) -> "Classifier":
        """Reads the newest intact step; `batch` texts are read at once. Raises ValueError for another run, or none."""
        run = Run.open(place)
        if not isinstance(run.cfg.task, ClassifyTaskConfig):
            raise ValueError(f"{place} holds a {run.cfg.task.name}, not a classifier")
        known = class_names.read(Path(place))
        params = run.load(lm_with_head_spec(run.cfg.model, len(known)), mesh)
        model = TextClassifier(params, run.cfg.model, known, run.tokenizer(), mesh, batch)
        return cls(model, {"step": run.step, "part": run.part, "digest": run.digest})

    def classify(self, texts: Sequence[str]) -> list[LabelProbabilities]:
        """The probability of each label for every text."""
        return self.model.classify(texts)


def holds_classifier(place: Path) -> bool:
    """Whether a directory with a config.json is a classifier's run."""
    return config.flatten(files.read_json(place / "config.json")).get("task.name") == ClassifyTaskConfig.name
