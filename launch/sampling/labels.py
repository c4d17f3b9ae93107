"""Labels of texts for launch.sample: shown, and kept as lines of JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rich
from jax.sharding import Mesh
from rich.table import Table
from rich.text import Text

from gen.messages import harmless, short
from gen.messages import note as print_note
from gen.pipelines.bulk import prompts
from gen.pipelines.classifier import Classifier
from gen.runs import output
from gen.sample.text_classifier import LabelProbabilities


def label(args: Any, overrides: Sequence[tuple[str, str]], mesh: Mesh, made_with: dict[str, Any]) -> int:
    """Shows the probability of each label for every prompt, and appends them to OUT/labels.jsonl."""
    asked = {f"sampler.{key}": True for key, _ in overrides} | {
        name: getattr(args, name) for name in ("from_text_embedding", "tokens", "stop", "system", "seeds", "vary")
    }
    asked |= {name: getattr(args, name) is not None for name in ("add_bos", "add_eos")}
    if strange := next((name for name, value in asked.items() if value), None):
        raise ValueError(f"{args.workdir} is a classifier, which writes nothing: leave --{strange} out")
    path, problem = output.lines_file(args.out, args.workdir, "labels.jsonl", "label")
    classifier = Classifier.open(Path(args.workdir), mesh, args.batch)
    guesses = classifier.classify(prompts.given(args.prompt, args.prompts))
    for guess in guesses:
        show(guess)
    lines = [{"label": guess.best, **guess._asdict(), "weights": classifier.weights, **made_with} for guess in guesses]
    output.add_lines(path, lines, problem)
    return 0


def show(guess: LabelProbabilities) -> None:
    for note in guess.notes:
        print_note(note)
    shown = Table("label", "probability", title=Text(short(guess.text, 60)), title_justify="left")
    for name, p in sorted(guess.probabilities.items(), key=lambda item: -item[1]):
        shown.add_row(Text(harmless(name)), f"{p:.4f}")
    rich.print(shown)
