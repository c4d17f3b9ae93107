"""Labels of texts from a trained classifier, for launch.sample: shown, and kept as lines of JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rich
from jax.sharding import Mesh
from rich.table import Table
from rich.text import Text

from gen import config
from gen.messages import harmless, short
from gen.messages import note as print_note
from gen.models.headed import headed_spec
from gen.sample.labeller import Guess, Labeller
from gen.tasks.classify import ClassifyTaskConfig
from gen.train import files
from launch import labels
from launch.many import prompts
from launch.trained import Run
from launch.write import add_lines, lines_file


def label(args: Any, overrides: Sequence[tuple[str, str]], mesh: Mesh, made_with: dict[str, Any]) -> int:
    """Shows the probability of each label for every prompt, and appends them to OUT/labels.jsonl."""
    asked = {f"sampler.{key}": True for key, _ in overrides} | {
        name: getattr(args, name) for name in ("from_text_embedding", "tokens", "stop", "system", "seeds", "vary")
    }
    asked |= {name: getattr(args, name) is not None for name in ("add_bos", "add_eos")}
    if strange := next((name for name, value in asked.items() if value), None):
        raise ValueError(f"{args.workdir} is a classifier, which writes nothing: leave --{strange} out")
    path, problem = lines_file(args, "labels.jsonl", "label")
    labeller, weights = open_labeller(Path(args.workdir), mesh, args.batch)
    guesses = labeller.label(prompts.given(args))
    for guess in guesses:
        show(guess)
    lines = [{"label": guess.best, **guess._asdict(), "weights": weights, **made_with} for guess in guesses]
    add_lines(path, lines, problem)
    return 0


def holds_classifier(place: Path) -> bool:
    """Whether a directory with a config.json is a classifier's run."""
    return config.flatten(files.read_json(place / "config.json")).get("task.name") == ClassifyTaskConfig.name


def open_labeller(place: Path, mesh: Mesh, batch: int = 16) -> tuple[Labeller, dict[str, Any]]:
    """A trained classifier, and which weights it has. Raises ValueError for another run, or none."""
    run = Run.open(place)
    if not isinstance(run.cfg.task, ClassifyTaskConfig):
        raise ValueError(f"{place} holds a {run.cfg.task.name}, not a classifier")
    known = labels.read(place)
    params = run.load(headed_spec(run.cfg.model, len(known)), mesh)
    labeller = Labeller(params, run.cfg.model, known, run.tokenizer(), mesh, batch)
    return labeller, {"step": run.step, "part": run.part, "digest": run.digest}


def show(guess: Guess) -> None:
    for note in guess.notes:
        print_note(note)
    shown = Table("label", "probability", title=Text(short(guess.text, 60)), title_justify="left")
    for name, p in sorted(guess.probabilities.items(), key=lambda item: -item[1]):
        shown.add_row(Text(harmless(name)), f"{p:.4f}")
    rich.print(shown)
