"""What a training run has shown of itself, from the state in which it was shown."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gen.sample import png
from gen.train import digest
from gen.train import state as states
from gen.train.evaluation import Evaluation
from launch import feeds
from launch.assembled import Assembled
from launch.replay import verdict
from launch.replay.training import Replayed


def replay_pictures(path: Path, then: np.ndarray, record: Mapping[str, Any], workdir: Path) -> int:
    samples, _, changed = sampled(path, record, workdir)
    return verdict.pixels(path, then, png.comparison(samples), changed)


def replay_texts(path: Path, workdir: Path) -> int:
    """Samples that a language model has shown; returns an exit status."""
    if not path.exists():
        raise ValueError(f"there is no file {path}")
    then, _, said = path.read_text().rpartition(feeds.RECORD)
    try:
        record = json.loads(said)
    except ValueError as error:
        raise ValueError(f"{path} carries no record: no run of gen's made it, or it has been changed") from error
    samples, made, changed = sampled(path, record, workdir)
    tokenizer = made.tokenizer
    assert tokenizer is not None
    now = feeds.listed(samples["text"], tokenizer)
    if now == then:
        return verdict.same(f"{path}: the same {len(samples['text'])} texts", changed)
    return verdict.differs(f"{path}: other texts", changed)


def sampled(
    path: Path, record: Mapping[str, Any], workdir: Path
) -> tuple[Mapping[str, np.ndarray], Assembled, list[str]]:
    """The samples of a record, from the checkpoint of its step or from the steps after the one before; the run, and
    what has changed. Raises ValueError where the weights are not those of the record."""
    verdict.field(record, path, "step", "samples", "weights", "made_with")
    step = record["step"]
    replayed = Replayed.open(workdir, step)
    made = replayed.made
    with jax.set_mesh(made.mesh):
        state = replayed.state(step)
        weights = states.weights(state)
        for name, then in record["weights"].items():
            now = digest.combine(digest.digests(weights[name]))
            verdict.check_weights(path, {"step": step, "digest": then}, {"digest": now}, name)
        held_out = made.feed.evaluate(made.cfg.train.batch_size)
        evaluation = Evaluation(made.task, made.cfg, replayed.frozen, held_out, made.mesh)
        samples = evaluation.samples(weights, state.extra, state.step, record["samples"])
    return samples, made, verdict.changed(record["made_with"], dict(made.mesh.shape))
