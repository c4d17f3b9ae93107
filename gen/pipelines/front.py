"""The front door: what a notebook calls, and programs parse flags for.

model = load("runs/stdlib")
run = train(recipe("configs/lm/stdlib.py:tiny"), "runs/mine")
results = evaluate("runs/mine")
"""

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from gen import config, exit_codes
from gen import mesh as meshes
from gen.data import python_data
from gen.pipelines.language import LanguageModel, is_run
from gen.pipelines.pictures import PictureStack
from gen.runs import evaluate as evaluation
from gen.runs import family, own_task, reader, stack
from gen.runs import train as runs
from gen.tasks.base import Task


def load(source: str | Path, mesh: Mesh | None = None) -> Any:
    """Opens what has been trained, with verified weights on `mesh`.

    Args:
        source: the directory of a run or of a stack, or of a language model in the Hugging Face layout.
        mesh: a mesh with gen's axes (see gen.mesh), or one whose axes are some of them; all devices by default.

    Returns:
        A LanguageModel, PictureStack, CLIP, Classifier or, of any other run, a TrainedRun.

    Raises:
        ValueError: there is nothing to load there, saying what there is.
        NoIntactCheckpoint: every checkpoint is damaged.
    """
    place = Path(source)
    mesh = meshes.taken(mesh)
    if (place / reader.STACK).exists():
        return PictureStack.open(place, mesh)
    if (place / "config.json").exists() and not is_run(place):
        return LanguageModel.open(place, mesh)
    name = reader.config_of(place)["task"]["name"]
    module, _, kind = family.find(name).pipeline.partition(":")
    return getattr(importlib.import_module(module), kind).open(place, mesh)


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """How training ended: `status` is one of gen.exit_codes, `path` the directory of the run or of the stack."""

    status: int
    path: Path

    @property
    def done(self) -> bool:
        """Whether all steps were trained."""
        return self.status == exit_codes.DONE

    def load(self, mesh: Mesh | None = None) -> Any:
        """The trained run as an object; see `load`."""
        return load(self.path, mesh)


def train(
    recipe: Mapping[str, Any],
    workdir: str | Path,
    *,
    data: Any = None,
    held_out: Any = None,
    task: Task | None = None,
    branch: str | None = None,
) -> TrainingResult:
    """Trains a run or a stack, or resumes the one that is in `workdir`.

    Args:
        recipe: the config as data, as `gen.recipe` gives it.
        workdir: the directory of the run; made if need be.
        data: examples to train on in place of the recipe's `data.source`: a sequence, len() and [index], of records
            with "image" and perhaps "caption" for a task of pictures, and of examples (dicts of arrays of equal shapes)
            for a `task` of your own.
        held_out: the same, to be measured on; `data` by default.
        task: a task of your own, in place of what `task.name` names.
        branch: DIR or DIR@STEP, a checkpoint of another run to begin from.

    Returns:
        How it ended. A signal or a divergence is a status, not an exception.

    Raises:
        ValueError: a sentence for everything that you can mend.
    """
    if "stages" in recipe:
        if data is not None or task is not None or branch is not None:
            raise ValueError("data, task and branch are for one run: choose a stage of the recipe, as FILE.py:STAGE")
        return TrainingResult(stack.train(recipe, workdir), Path(workdir))
    given = dict(recipe)
    if data is not None:
        name = type(data).__name__
        python_data.register(name, train=data, test=data if held_out is None else held_out)
        given = config.override(given, "data.source", f"python:{name}")
    if task is not None:
        given = {"model": {}, **given, "task": {"name": own_task.register(task)}}
    return TrainingResult(runs.train(given, workdir, branch), Path(workdir))


def evaluate(workdir: str | Path, *, pictures: int = 64, moved: Sequence[tuple[str, Any]] = ()) -> dict[str, Any]:
    """Measures a trained run on all of its held-out data, with the averaged weights.

    Returns:
        {"step", "digest", "metrics"}; of a classifier also "classification". Of a stack, these by stage.

    Raises:
        ValueError: there is no trained run, or its data is gone or another's.
    """
    place = Path(workdir)
    if not (place / reader.STACK).exists():
        return evaluation.evaluate(place, pictures, moved)
    stages = {name: where for name, where in stack.places(place).items() if evaluation.task_name(where)}
    return {name: evaluation.evaluate(where, pictures, moved) for name, where in stages.items()}
