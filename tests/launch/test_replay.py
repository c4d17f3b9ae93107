"""What a run has made is made again, bit for bit, or what differs is said: weights, config, versions, pixels."""

import json
import shutil
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from gen import mesh as meshes
from gen import status
from gen.sample import png
from gen.sample.unclip import SamplerConfig
from gen.train import manifest, metrics
from launch import command, draw, runs, sample
from launch.replay import evaluation, picture, text, training
from tests import small

CONFIG = "configs/lm/gpt2.py:tiny"
SMALL = [
    *small.LM_RUN,
    ("evals.every", "3"),
    ("evals.samples", "2"),
    ("checkpoint.every", "4"),
    ("task.prompt", "4"),
]


@pytest.fixture(scope="module", autouse=True)
def quick(tmp_path_factory):
    with small.quick_compilation(tmp_path_factory.mktemp("compiled")):
        yield


def train(place, steps, **more):
    overrides = [*SMALL, ("train.steps", str(steps)), *more.items()]
    return runs.train(runs.with_overrides(command.load_config(CONFIG), overrides), place)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs") / "lm"
    assert train(place, 10) == status.DONE
    arguments = {
        "workdir": str(place),
        "prompt": ["ab", "c"],
        "num": 2,
        "seed": 3,
        "out": None,
        "tokens": 5,
        "stop": [],
    }
    arguments |= {"batch": 4, "from_text_embedding": False, "system": None}
    assert sample.main(SimpleNamespace(**arguments), []) == 0
    return place


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "lm")


def change(path, **changed):
    """Changes top-level keys of a file's manifest."""
    content = json.loads(path.read_text())
    content["launches"][-1].update(changed)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(("step", "start"), [(9, 8), (5, 4), (2, 0)])
def test_a_step_is_done_again_from_the_checkpoint_before(run, capsys, step, start):
    assert training.replay(run, step, eager=False) == status.DONE
    rows = step - start + 1
    assert f"steps {start} to {step}: {rows} logged rows are the same, bit for bit" in capsys.readouterr().out


def test_a_damaged_checkpoint_is_passed_over(run, capsys):
    shutil.rmtree(run / "checkpoints" / "8" / "proof")
    assert training.replay(run, 9, eager=False) == status.DONE
    said = capsys.readouterr().out
    assert "8 is damaged" in said and "steps 4 to 9: 6 logged rows" in said


def test_what_was_logged_otherwise_is_named_with_what_has_changed(run, capsys):
    lines = (run / "metrics.jsonl").read_text().splitlines()
    for i, line in enumerate(lines):
        row = json.loads(line)
        if row["step"] == 9 and "loss" in row:
            row["loss"] += 1e-6
            lines[i] = json.dumps(row)
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    assert training.replay(run, 9, eager=False) == status.FAILED
    assert "step 9: loss was" in (said := capsys.readouterr().out) and "nothing that is recorded has changed" in said
    change(run / "manifest.json", xla_flags="--xla_other")
    assert training.replay(run, 9, eager=False) == status.FAILED
    assert "  xla_flags was --xla_other, is" in capsys.readouterr().out
    assert training.replay(run, 8, eager=False) == status.DONE  # of which nothing was changed
    assert "bit for bit, although xla_flags was --xla_other" in capsys.readouterr().out


def test_a_schedule_that_was_made_longer_since(run, capsys):
    """The learning rates of the first launch are those of the steps that it was asked for."""
    assert train(run, 14) == status.DONE
    assert [launch["steps"] for launch in json.loads((run / "manifest.json").read_text())["launches"]] == [10, 14]
    for step in (9, 13):
        assert training.replay(run, step, eager=False) == status.DONE
    assert "steps 12 to 13: 2 logged rows are the same" in capsys.readouterr().out


def test_operation_by_operation_the_same_step(run, capsys):
    row = next(row for row in metrics.read(run / "metrics.jsonl") if row["step"] == 5 and "loss" in row)
    assert training.replay(run, 5, eager=True) == status.DONE
    said = capsys.readouterr().out
    loss = float(said.split("loss ")[1].split(",")[0])
    assert "no NaN" in said and abs(loss - row["loss"]) < 1e-4 * row["loss"]


def test_operation_by_operation_the_first_nan_is_found(run, capsys, monkeypatch):
    poison = training.place

    def poisoned(*args):
        batch = poison(*args)
        return {**batch, "weights": batch["weights"] * np.float32(np.inf)}

    monkeypatch.setattr(training, "place", poisoned)
    assert training.replay(run, 4, eager=True) == status.FAILED
    said = capsys.readouterr().out
    assert "the first NaN: invalid value" in said and ".py:" in said


def test_texts_are_written_again(run, capsys):
    path = run / "samples" / "texts.jsonl"
    assert text.replay(path, run, None) == status.DONE
    assert capsys.readouterr().out.count("the same 5 tokens and log-probabilities, bit for bit") == 4
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["text"] += "!"
    lines[2]["log_p"][0] += 1e-6
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert text.replay(path, run, None) == status.FAILED
    said = capsys.readouterr().out
    assert "line 1: other text" in said and "line 2: the same text; log-probabilities differ by at most 1e-06" in said
    assert text.replay(path, run, 0) == status.DONE
    with pytest.raises(ValueError, match="--line=9: .* has 4 lines"):
        text.replay(path, run, 9)


def test_texts_whose_weights_are_gone_or_changed(run):
    path = run / "samples" / "texts.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for changed, message in (
        ({"step": 7}, r"there is no checkpoint 7 in .*; there are \[4, 8, 10\]"),
        ({"digest": "0" * 16}, "made with other weights: .* had digest 0000000000000000"),
        ({"config_sha256": "0" * 64}, "made with another config"),
    ):
        line = lines[0] | {"weights": lines[0]["weights"] | changed}
        path.write_text(json.dumps(line) + "\n")
        with pytest.raises(ValueError, match=message):
            text.replay(path, run, None)


@pytest.mark.parametrize(
    ("line", "message"), [("nothing", "line 0 is no JSON"), ("3", "line 0 is no record"), ("{}", "without 'weights'")]
)
def test_lines_that_are_no_records(run, line, message):
    path = run / "samples" / "texts.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(ValueError, match=message):
        text.replay(path, run, None)


def test_what_training_has_shown_is_shown_again(run, capsys):
    """Of step 3, whose state was not saved, from the beginning; of step 10 from its checkpoint."""
    for step in (3, 10):
        assert evaluation.replay_texts(run / "samples" / f"{step:08d}.txt", run) == status.DONE
    assert capsys.readouterr().out.count("the same 2 texts") == 2
    path = run / "samples" / "00000003.txt"
    shown = path.read_text()
    path.write_text(shown.replace("---- 1\n", "---- 1\nmore", 1))
    assert evaluation.replay_texts(path, run) == status.FAILED
    path.write_text(shown.rpartition("---- record")[0])
    with pytest.raises(ValueError, match="carries no record"):
        evaluation.replay_texts(path, run)
    said = json.loads(shown.rpartition("---- record ")[2])
    said["weights"]["model"] = "0" * 16
    path.write_text(f"---- record {json.dumps(said)}\n")
    with pytest.raises(ValueError, match="made with other weights: model of step 3 had digest 0000000000000000"):
        evaluation.replay_texts(path, run)


class Painter:
    """In place of a stack: pictures that depend on seed and number alone."""

    samplers = {"decoder": SamplerConfig()}

    def __init__(self, off=0.0):
        self.off = off

    def read(self, prompts):
        return np.zeros((1, 4), np.int32), []

    def draw(self, tokens_BT, index_B, seed, from_text_embedding):
        shade = (seed + index_B[:, None, None, None] * 0.1 + self.off) % 1
        return SimpleNamespace(pictures=[np.broadcast_to(shade, (len(index_B), 8, 8, 3)).astype(np.float32)])

    def digests(self):
        return {"decoder": {"step": 5, "digest": "d" * 16, "config_sha256": "c" * 64}}


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Five pictures and their grid, and a way to replay one with another painter."""
    mesh = meshes.make(meshes.MeshConfig(), jax.devices())
    record = {"prompt": "a seven", "seed": 0, "num": 5, "batch": 2, "from_text_embedding": False, "samplers": {}}
    record |= {"weights": Painter().digests(), "made_with": manifest.surroundings(dict(mesh.shape))}
    draw._write(Painter(), record, tmp_path / "samples" / "p")

    def replay(name, painter=None, **opened):
        monkeypatch.setattr(picture, "Unclip", SimpleNamespace(open=lambda *_: painter or Painter()))
        return picture.replay(tmp_path / "samples" / name, tmp_path)

    return replay


def test_a_picture_and_a_grid_are_drawn_again(pictures, capsys):
    for name in ("p-000.png", "p-003.png", "p-004.png", "p-grid.png"):
        assert pictures(name) == status.DONE
    assert capsys.readouterr().out.count("pixels, bit for bit") == 4


def test_pixels_that_differ_are_counted(pictures, capsys):
    assert pictures("p-003.png", Painter(off=0.01)) == status.FAILED
    assert "differs in 64 of 64 pixels, by at most 1 of 255" in capsys.readouterr().out


def test_a_picture_whose_weights_are_not_there(pictures, tmp_path):
    other = Painter()
    other.digests = lambda: {"decoder": {"step": 5, "digest": "e" * 16, "config_sha256": "c" * 64}}
    with pytest.raises(ValueError, match="decoder of step 5 had digest dddddddddddddddd, and have eeeeeeeeeeeeeeee"):
        pictures("p-000.png", other)
    other.digests = lambda: {}
    with pytest.raises(ValueError, match="was made with a stage decoder, which .* has not"):
        pictures("p-000.png", other)


def test_records_that_make_no_sense(pictures, tmp_path):
    path = tmp_path / "samples" / "p-000.png"
    pixels, record = png.read(path)
    for changed, message in (
        ({"num": 10**9, "batch": 10**9}, "at most 4096"),
        ({"index": 77}, "says that it is number 77 of 5"),
        ({"samplers": {"decoder": {"stps": 3}}}, "stps"),
    ):
        png.write_pixels(path, pixels, record | changed)
        with pytest.raises(ValueError, match=message):
            pictures("p-000.png")
    del record["seed"]
    png.write_pixels(path, pixels, record)
    with pytest.raises(ValueError, match="has a record without 'seed'"):
        pictures("p-000.png")


def test_resuming_with_other_versions_says_what_is_no_longer_promised(run, capsys):
    change(run / "manifest.json", versions={"jax": "0.0.1"})
    assert train(run, 11) == status.DONE
    said = capsys.readouterr().out
    assert (
        "versions/jax was 0.0.1, is" in said and "need no longer equal, bit for bit, one that was never stopped" in said
    )
