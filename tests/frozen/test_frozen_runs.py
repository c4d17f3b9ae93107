"""Run directories of version 0.1.0, which every later version must read (freeze_runs.py made them once)."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from gen import exit_codes
from gen import mesh as meshes
from gen.checkpoint import restore, verify
from gen.pipelines import draw, write
from gen.pipelines.classifier import Classifier
from gen.pipelines.language import LanguageModel
from gen.replay.record import build, parse
from gen.replay.replay_picture import PictureRecord, open_stack
from gen.replay.replay_text import TextRecord
from gen.runs import family, reader, registry, train
from gen.sample import png

FROZEN = Path(__file__).parent / "0.1.0"
RUNS = sorted(path.parent.relative_to(FROZEN).as_posix() for path in FROZEN.rglob("config.json"))
MESH = meshes.make(meshes.MeshConfig(), jax.devices()[:1])


def records(name):
    path = FROZEN / "outputs" / name / "texts.jsonl"
    return [build(TextRecord, parse(line, str(path)), str(path)) for line in path.read_text().splitlines()]


def test_there_is_a_run_of_every_kind():
    tasks = {json.loads((FROZEN / run / "config.json").read_text())["task"]["name"] for run in RUNS}
    assert tasks == set(family.names())


@pytest.mark.parametrize("name", RUNS)
def test_config_and_weights_are_read(name):
    run = reader.Run.open(FROZEN / name)
    task = registry.plain(run.cfg, run.models, run.ids)
    for player in task.players:
        params = run.load(task.players[player].specs, MESH, player)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    assert verify.problems(run.path / "checkpoints" / str(run.step)) == []
    assert reader.stale_upstream(run.path) is None


@pytest.mark.parametrize("name", ["lm", "sft", "lora", "converted"])
def test_texts_are_written_again(name):
    """Tokens are equal; probabilities may differ in their last bits on another machine."""
    for said in records(name):
        language = LanguageModel.open(FROZEN / name, MESH, said.weights.step)
        assert language.weights["digest"] == said.weights.digest
        if said.framing is not None:
            language = language.framed(said.framing)
        data = json.loads((FROZEN / "outputs" / name / "texts.jsonl").read_text().splitlines()[said.index])
        now = write.texts(language, data)[said.index]
        assert (now.text, tuple(now.tokens)) == (said.text, said.tokens)
        np.testing.assert_allclose(now.log_p, said.log_p, rtol=1e-5)


def test_pictures_are_drawn_again():
    path = FROZEN / "outputs" / "stack" / "a-seven-seed0-001.png"
    then, data = png.read(path)
    said = build(PictureRecord, data, path)
    stack = open_stack(path, said, FROZEN / "stack", MESH)
    now = png.to_uint8(draw.batch(stack, said, 0)[said.index])
    assert np.abs(now.astype(int) - then).max() <= 1


def test_texts_are_labelled_again():
    (said,) = map(json.loads, (FROZEN / "outputs" / "classify" / "labels.jsonl").read_text().splitlines())
    classifier = Classifier.open(FROZEN / "classify", MESH)
    (guess,) = classifier.classify([said["text"]])
    assert classifier.weights["digest"] == said["weights"]["digest"] and guess.best == said["label"]
    for label, probability in said["probabilities"].items():
        assert guess.probabilities[label] == pytest.approx(probability, rel=1e-5)


@pytest.mark.parametrize(
    "name", ["lm", pytest.param("sft", marks=pytest.mark.prove), pytest.param("ppo", marks=pytest.mark.prove)]
)
def test_a_run_goes_on(name, tmp_path):
    """With the config that its directory has, in the names that its version had."""
    copy = Path(shutil.copytree(FROZEN, tmp_path / "runs")) / name
    data = json.loads((copy / "config.json").read_text())
    data["upstream"] = {key: str(copy.parent / place) for key, place in data["upstream"].items()}
    assert (
        train.train(train.with_overrides(data, [("train.steps", "3"), ("mesh.tensor", "2")]), copy) == exit_codes.DONE
    )
    assert max(restore.steps(copy / "checkpoints")) == 3
    rows = map(json.loads, (copy / "metrics.jsonl").read_text().splitlines())
    (line,) = [row for row in rows if row["step"] == 2 and "loss" in row]
    assert np.isfinite(line["loss"])
