"""A run that branches off another has its whole state, and says so; with the same config it is the other run."""

import json

import pytest

from gen import exit_codes, files
from gen.checkpoint import checksums, restore
from gen.runs import config_file
from gen.runs import train as runs
from gen.training import metrics
from tests import small

CONFIG = "configs/lm/gpt2.py:tiny"
SMALL = [*small.LM_RUN, ("optim.schedule", "constant"), ("evals.samples", "0")]


def train(place, branch=None, steps=4, **more):
    overrides = [*SMALL, ("train.steps", str(steps)), ("checkpoint.every", "2"), *more.items()]
    return runs.train(runs.with_overrides(config_file.load_config(CONFIG), overrides), place, branch)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs") / "parent"
    assert train(place, steps=6) == exit_codes.DONE
    return place


def rows(place):
    return [row for row in metrics.read(place / "metrics.jsonl") if "loss" in row]


def test_with_the_same_config_it_is_the_same_run(parent, tmp_path):
    assert train(tmp_path / "twin", f"{parent}@2", steps=6) == exit_codes.DONE
    assert rows(tmp_path / "twin") == rows(parent)[2:]
    small.assert_equal(small.left(tmp_path / "twin").state, small.left(parent).state)


def test_another_config_goes_on_from_the_whole_state(parent, tmp_path):
    place = tmp_path / "branch"
    assert train(place, f"{parent}@4", steps=8, **{"optim.lr": "0.01"}) == exit_codes.DONE
    said = json.loads((place / "ancestry.json").read_text())
    assert (place / said["run"]).resolve() == parent and said["step"] == 4 and said["ancestry"] is None
    assert said["digest"] == checksums.read(parent / "checkpoints" / "4").digest()
    assert said["config"] == {"optim.lr": [0.001, 0.01], "train.steps": [6, 8]}
    assert [row["step"] for row in rows(place)] == [4, 5, 6, 7] and rows(place)[0]["loss"] == rows(parent)[4]["loss"]
    assert rows(place)[1]["loss"] != rows(parent)[5]["loss"]
    assert int(small.left(place).state["players"]["model"]["updates"]) == 8

    # the same command resumes, with or without --from, and a branch of the branch knows them all
    assert train(place, f"{parent}@4", steps=8, **{"optim.lr": "0.01"}) == exit_codes.DONE
    assert train(place, None, steps=10, **{"optim.lr": "0.01"}) == exit_codes.DONE
    assert train(tmp_path / "second", str(place), steps=11, **{"optim.lr": "0.01"}) == exit_codes.DONE
    second = json.loads((tmp_path / "second" / "ancestry.json").read_text())
    assert second["step"] == 10 and second["ancestry"] == said


def test_a_branch_that_is_killed_before_its_first_save_begins_again(parent, tmp_path, monkeypatch):
    from gen.checkpoint.checkpointer import Checkpointer

    place = tmp_path / "branch"
    monkeypatch.setattr(Checkpointer, "save", lambda self, step, state, **more: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(place, f"{parent}@2", steps=6)
    monkeypatch.undo()
    assert restore.steps(place / "checkpoints") == []
    assert train(place, steps=6) == exit_codes.DONE  # also where nobody says again what it branched off
    small.assert_equal(small.left(place).state, small.left(parent).state)


SKIP = {"at": 1, "batches": 50, "spike": 1}


@pytest.fixture(scope="module")
def skipping(tmp_path_factory):
    """A run that left batches out."""
    place = tmp_path_factory.mktemp("runs") / "skipping"
    assert train(place, steps=1) == exit_codes.DONE
    (place / "skips.json").write_text(json.dumps({"skips": [SKIP]}))
    assert train(place, steps=6) == exit_codes.DONE
    return place


def test_batches_that_were_left_out_stay_so(parent, skipping, tmp_path):
    assert train(tmp_path / "branch", f"{skipping}@2", steps=6) == exit_codes.DONE
    assert json.loads((tmp_path / "branch" / "skips.json").read_text()) == {"skips": [SKIP]}
    assert rows(tmp_path / "branch") == rows(skipping)[2:] != rows(parent)[2:]


@pytest.mark.parametrize("branch", [None, "{parent}@2"])
def test_what_a_command_left_that_was_killed_before_the_config_is_not_believed(
    parent, skipping, tmp_path, monkeypatch, branch
):
    """Not what it branched off, not the batches that were left out there, and not its tokenizer."""
    place, branch = tmp_path / "run", branch and branch.format(parent=parent)
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(files, "write_json", _all_but(place / "config.json"))
        train(place, f"{skipping}@2", steps=4)
    tokenizer = json.loads((place / "tokenizer.json").read_text())
    (place / "tokenizer.json").write_text(json.dumps(tokenizer | {"kind": "none"}))
    assert (place / "ancestry.json").exists() and (place / "skips.json").exists()
    assert train(place, branch, steps=4) == exit_codes.DONE
    assert rows(place) == rows(parent)[2 if branch else 0 : 4] and not (place / "skips.json").exists()
    assert (place / "ancestry.json").exists() == bool(branch)
    assert json.loads((place / "tokenizer.json").read_text()) == tokenizer


def _all_but(path):
    write = files.write_json
    return lambda to, value: 1 / 0 if to == path else write(to, value)


@pytest.mark.parametrize("name", ["ancestry.json", "skips.json", "tokenizer.json", "config.json"])
def test_a_branch_that_is_killed_while_it_is_set_up_is_begun_again(skipping, tmp_path, monkeypatch, name):
    place = tmp_path / "branch"
    replacing = files.replacing

    def killed(path):
        if path == place / name:
            raise KeyboardInterrupt
        return replacing(path)

    monkeypatch.setattr(files, "replacing", killed)
    with pytest.raises(KeyboardInterrupt):
        train(place, f"{skipping}@2", steps=4)
    monkeypatch.undo()
    assert not (place / name).exists()
    assert train(place, f"{skipping}@2", steps=4) == exit_codes.DONE
    assert rows(place) == rows(skipping)[2:4]
    assert {"ancestry.json", "skips.json", "tokenizer.json", "config.json"} <= {path.name for path in place.iterdir()}


@pytest.mark.parametrize(
    ("branch", "more", "message"),
    [
        ("{parent}@3", {}, "--from=.*@3: there is no such checkpoint; it has 2, 4, 6"),
        ("{parent}/nowhere", {}, "there is no such checkpoint; it has none"),
        ("{parent}@2", {"model.transformer.width": "8"}, "does not fit this model: .* has shape"),
    ],
)
def test_what_cannot_be_branched_off(parent, tmp_path, branch, more, message):
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "branch", branch.format(parent=parent), **more)


def test_a_directory_that_was_begun_otherwise(parent, tmp_path):
    assert train(tmp_path / "own", steps=1) == exit_codes.DONE
    with pytest.raises(ValueError, match="was begun without --from; branch off into another directory"):
        train(tmp_path / "own", f"{parent}@2", steps=1)
    assert train(tmp_path / "branch", f"{parent}@2", steps=2) == exit_codes.DONE
    with pytest.raises(ValueError, match="branched off .*parent@2; give the same, or another directory"):
        train(tmp_path / "branch", f"{parent}@4", steps=2)


def test_a_parent_that_changed_is_not_taken_for_what_it_was(parent, tmp_path):
    import shutil

    copy = shutil.copytree(parent, tmp_path / "copy")
    assert train(tmp_path / "branch", f"{copy}@2", steps=2) == exit_codes.DONE
    shutil.rmtree(tmp_path / "branch" / "checkpoints")
    shutil.rmtree(copy / "checkpoints" / "2")
    with pytest.raises(ValueError, match="2 is gone"):
        train(tmp_path / "branch", steps=4)
    shutil.copytree(parent / "checkpoints" / "4", copy / "checkpoints" / "2")
    with pytest.raises(ValueError, match="2 is not what this run branched off"):
        train(tmp_path / "branch", steps=4)
