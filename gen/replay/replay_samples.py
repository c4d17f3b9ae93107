"""What a training run has shown of itself, from the state in which it was shown."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gen.checkpoint import digest
from gen.replay import comparison, record
from gen.replay.rerun import Rerun
from gen.runs import shown_samples
from gen.runs.build import BuiltRun
from gen.sample import png
from gen.training import state as states
from gen.training.evaluation import Evaluation


@dataclasses.dataclass(frozen=True)
class Shown:
    """The record of `samples` samples before a step, by weights with these digests."""

    step: int
    samples: int
    weights: dict[str, str]
    made_with: dict[str, Any]

    def __post_init__(self):
        if self.step < 0 or self.samples < 1:
            raise ValueError(f"it shows {self.samples} samples of step {self.step}")


def replay_pictures(
    path: Path, then: np.ndarray, data: Mapping[str, Any], workdir: Path, moved: Sequence[tuple[str, Any]] = ()
) -> int:
    samples, _, changed = sampled(path, record.build(Shown, data, path), workdir, moved)
    return comparison.pixels(path, then, png.comparison(samples), changed)


def replay_texts(path: Path, workdir: Path, moved: Sequence[tuple[str, Any]] = ()) -> int:
    """Samples that a language model has shown; returns an exit status."""
    then, mark, said = record.read_text(path).rpartition(shown_samples.RECORD)
    if not mark:
        raise ValueError(f"{path} carries no record: no run of gen's made it, or it has been changed")
    shown = record.build(Shown, record.parse(said, f"the record of {path}"), path)
    samples, made, changed = sampled(path, shown, workdir, moved)
    if "text" not in samples or made.tokenizer is None:
        raise ValueError(f"{path} is of texts, which {workdir} does not show; point --workdir to the run that made it")
    if shown_samples.listed(samples["text"], made.tokenizer) == then:
        return comparison.same(f"{path}: the same {len(samples['text'])} texts", changed)
    return comparison.differs(f"{path}: other texts", changed)


def sampled(
    path: Path, shown: Shown, workdir: Path, moved: Sequence[tuple[str, Any]]
) -> tuple[Mapping[str, np.ndarray], BuiltRun, list[str]]:
    """The samples of a record, from the checkpoint of its step or from the steps after the one before; the run, and
    what has changed. Raises ValueError where the weights are not those of the record."""
    past = Rerun(workdir, moved)
    state = past.state(shown.step)
    launched = past.launched(shower(past, shown))
    made, state = launched.made, launched.place(state)
    weights = states.weights(state)
    comparison.check_names(path, shown.weights, weights, "players")
    for name, then in shown.weights.items():
        now = digest.combine(digest.digests(weights[name]))
        comparison.check_weights(path, record.Weights(then, shown.step), {"digest": now}, name)
    with jax.set_mesh(made.mesh):
        held_out = made.feed.evaluate(made.cfg.train.batch_size)
        evaluation = Evaluation(made.task, made.cfg, launched.frozen, held_out, made.mesh)
        samples = evaluation.samples(weights, state.extra, state.step, shown.samples)
    changed = [*comparison.changed(shown.made_with, dict(made.mesh.shape)), *past.changed, *launched.data_changed()]
    return samples, made, list(dict.fromkeys(changed))


def shower(past: Rerun, shown: Shown) -> Mapping[str, Any]:
    """The launch that showed a state: the one that goes on from there or, where it had another mesh than the record,
    the one that led there."""
    after, before = past.launch_of(shown.step), past.launch_of(shown.step - 1)
    return before if before.get("mesh") == shown.made_with.get("mesh") else after
