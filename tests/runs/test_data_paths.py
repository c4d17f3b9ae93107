"""Data that changed is noted, data that moved is found again by its fingerprint, and other data is not taken for it."""

import json
import shutil

import pytest

from gen import exit_codes
from gen.replay import replay_training
from gen.runs import config_file, data_paths
from gen.runs import evaluate as evaluation
from gen.runs import train as runs
from gen.training import manifest, metrics
from gen.training.run_dir import OtherConfig, RunDir
from tests import small

TEXT = "".join(f"line {i} of a small text, number {i % 7}\n" for i in range(200))
SOURCE = ("data.source", "data.options.documents")
SMALL = [pair for pair in small.LM_RUN if pair[0] not in SOURCE]
SMALL += [("evals.samples", "0"), ("checkpoint.every", "2"), ("optim.schedule", "constant")]


def train(place, data, steps=2, **more):
    overrides = [*SMALL, ("data.source", f"text:{data}"), ("train.steps", str(steps)), *more.items()]
    return runs.train(runs.with_overrides(config_file.load_config("configs/lm/gpt2.py:tiny"), overrides), place)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    (folder / "text.txt").write_text(TEXT)
    assert train(folder / "run", folder / "text.txt") == exit_codes.DONE
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "all") / "run"


@pytest.fixture
def data(run):
    """The text where it has moved to, of which the run does not know."""
    config = json.loads((run / "config.json").read_text())
    config["data"]["source"] = f"text:{run.parent}/gone/text.txt"
    (run / "config.json").write_text(json.dumps(config))
    return run.parent / "text.txt"


def test_data_that_changed_is_noted_on_resume_and_on_evaluation(run, capsys):
    text = run.parent / "text.txt"
    assert train(run, text, steps=3) == exit_codes.DONE
    evaluation.evaluate(run, 0)
    assert "the data has changed" not in capsys.readouterr().out
    text.write_text(TEXT.upper())
    evaluation.evaluate(run, 0, [("data.source", f"text:{text}")])
    said = capsys.readouterr().out
    for name in ("training", "held-out"):
        assert f"the fingerprint of the {name} data was " in said
    assert train(run, text, steps=4) == exit_codes.DONE
    said = capsys.readouterr().out
    assert said.index("note: the data has changed since the run was last trained") < said.index("resumed at step 3")
    assert train(run, text, steps=5) == exit_codes.DONE
    assert "the data has changed" not in capsys.readouterr().out


def test_the_split_that_changed_is_named():
    before = {"data_fingerprint": "aa", "fingerprints": {"held-out data": "bb"}}
    now = {"data_fingerprint": "aa", "fingerprints": {"held-out data": "cc", "sampled training records": "dd"}}
    assert manifest.data_changed(before, now) == ["the fingerprint of the held-out data was bb, is cc"]
    assert manifest.data_changed({"data_fingerprint": "aa"}, now) == []  # of 0.1.0
    assert manifest.data_changed({"data_fingerprint": ""}, now) == []  # of a converted model


def test_data_that_moved_is_found_again_to_evaluate(run, data):
    with pytest.raises(ValueError, match=r"gone/text.txt.*; if the data has moved, .*--config.data.source=text:PLACE"):
        evaluation.evaluate(run, 0)
    before = (run / "config.json").read_bytes()
    measured = evaluation.evaluate(run, 0, [("data.source", f"text:{data}")])["metrics"]
    logged = [row for row in metrics.read(run / "metrics.jsonl") if "eval/loss" in row]
    assert measured["loss"] > 0 and logged and (run / "config.json").read_bytes() == before


def test_data_that_moved_is_found_again_to_resume(run, data):
    old = json.loads((run / "config.json").read_text())["data"]["source"]
    assert train(run, data, steps=3) == exit_codes.DONE
    assert RunDir(run).config()["data"]["source"] == f"text:{data}"
    assert RunDir(run).launches()[-1]["moved"] == {"data.source": [old, f"text:{data}"]}
    assert train(run, data, steps=4) == exit_codes.DONE and "moved" not in RunDir(run).launches()[-1]


def test_data_that_moved_is_found_again_to_replay(run, data, capsys):
    assert replay_training.replay(run, 1, eager=False, moved=[("data.source", f"text:{data}")]) == exit_codes.DONE
    assert "are the same, bit for bit\n" in capsys.readouterr().out


@pytest.mark.parametrize("program", ["evaluate", "resume", "replay"])
def test_other_data_at_another_place_is_refused_with_both_fingerprints(run, data, program):
    data.write_text(TEXT.upper())
    moved = [("data.source", f"text:{data}")]
    then = RunDir(run).launches()[-1]["data_fingerprint"]
    with pytest.raises(ValueError, match=rf"data\.source was .*: that is other data: .* was {then}, is [0-9a-f]+"):
        match program:
            case "evaluate":
                evaluation.evaluate(run, 0, moved)
            case "resume":
                train(run, data, steps=3)
            case "replay":
                replay_training.replay(run, 1, eager=False, moved=moved)


def test_data_of_which_nothing_is_recorded_stays_where_it_is(run, data):
    (run / "manifest.json").unlink()
    with pytest.raises(ValueError, match="nothing is recorded of the data that it had"):
        train(run, data, steps=3)


def test_a_tokenizer_that_moved(run):
    text, own = run.parent / "text.txt", run.parent / "words.json"
    shutil.copy(run / "tokenizer.json", own)
    cached = {"data.cache": str(run.parent / "cache")}  # which may lie anywhere
    assert train(run, text, steps=3, **{"data.tokenizer": str(own)}, **cached) == exit_codes.DONE
    with pytest.raises(ValueError, match="that is another tokenizer than the run's; give the same"):
        train(run, text, steps=3, **{"data.tokenizer": "bpe:300"})


def test_what_is_no_place_stays(run):
    with pytest.raises(
        ValueError, match=r"--config\.data\.seed: a run that is trained is read by its own config\.json"
    ):
        evaluation.evaluate(run, 0, [("data.seed", "1")])
    with pytest.raises(OtherConfig, match="data.seed was 0, now 1"):
        train(run, run.parent / "text.txt", steps=3, **{"data.seed": "1"})


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("data.source", True), ("data.mixture.code.source", True), ("data.pretrain.mixture.code.source", True),
        ("data.demonstrations", True), ("data.options.held_out", True), ("data.tokenizer", True), ("data.cache", True),
        ("upstream.clip", True), ("data.options.test_fraction", False), ("data.mixture.code.weight", False),
        ("data.seed", False), ("model.source", False),
    ],
)  # fmt: skip
def test_keys_that_name_places(key, place):
    assert data_paths.is_place(key) == place
