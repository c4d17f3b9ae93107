"""How a run ends, what it leaves, and what running it again does."""

import json
import os
import shutil
import signal

import jax
import numpy as np
import pytest
import small

from gen import exit_codes
from gen.checkpoint.checkpointer import Checkpointer
from gen.training import metrics

SIZE = 8


class Poisoned:
    """Data that is not finite at some positions."""

    def __init__(self, data, at):
        self.data, self.at = data, at

    def batch(self, position, rows):
        batch = self.data.batch(position, rows)
        return {**batch, "y": np.full_like(batch["y"], np.nan)} if position in self.at else batch


def line(directory, data=None, **sections):
    sections = {"optim": {"lr": 0.1, "schedule": "constant", "ema": 0.9}} | sections
    return small.train(small.Line(), small.config(**sections), directory, data=data)


def noise():
    return small.Noise(small.Line(), SIZE)


def contents(directory):
    return {path: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "finished"
    assert line(directory) == exit_codes.DONE
    return directory


def test_every_step_and_evaluation_is_logged_in_order(finished):
    rows = metrics.read(finished / "metrics.jsonl")
    evaluated = [row["step"] for row in rows if "eval/loss" in row]
    assert [row["step"] for row in rows if "loss" in row] == list(range(6)) and evaluated == [2, 4, 6]
    assert [row["step"] for row in rows] == [0, 1, 2, 2, 3, 4, 4, 5, 6]
    assert small.left(finished).step == 6


def test_a_finished_run_does_nothing_again(finished):
    before = contents(finished)
    assert line(finished) == exit_codes.DONE
    assert contents(finished) == before


def test_more_steps_continue_as_if_asked_for_at_once(finished, tmp_path):
    assert line(tmp_path / "long", train={"steps": 9}) == exit_codes.DONE
    assert line(tmp_path / "short") == exit_codes.DONE
    assert line(tmp_path / "short", train={"steps": 9}) == exit_codes.DONE
    small.assert_equal(small.left(tmp_path / "long").state, small.left(tmp_path / "short").state)
    assert small.left(tmp_path / "long").metrics == small.left(tmp_path / "short").metrics


@pytest.mark.parametrize("at", [1, 5])
def test_a_stopped_run_goes_on_as_if_never_stopped(finished, tmp_path, at):
    assert line(tmp_path / "run", small.Stop(noise(), at)) == exit_codes.PREEMPTED
    assert small.left(tmp_path / "run").step == at + 1
    assert line(tmp_path / "run") == exit_codes.DONE
    small.assert_equal(small.left(finished).state, small.left(tmp_path / "run").state)
    assert small.left(finished).metrics == small.left(tmp_path / "run").metrics


@pytest.mark.parametrize("bad", [range(3, 6), range(2, 6)])
def test_a_run_that_diverges_keeps_its_last_good_state(finished, tmp_path, bad):
    sections = {"train": {"nonfinite_limit": 3}}
    assert line(tmp_path / "run", Poisoned(noise(), bad), **sections) == exit_codes.DIVERGED
    assert line(tmp_path / "good", train={"steps": bad[0]}) == exit_codes.DONE
    kept, good = small.left(tmp_path / "run").state, small.left(tmp_path / "good").state
    small.assert_equal((kept["players"], kept["extra"]), (good["players"], good["extra"]))
    assert kept["streak"] >= 3


def test_a_run_whose_every_step_is_passed_over_has_diverged(tmp_path):
    """Also one that is shorter than the limit; its weights are those that it began with."""
    sections = {"train": {"steps": 4, "nonfinite_limit": 10}, "optim": {"lr": 1e38}}
    assert line(tmp_path / "run", **sections) == exit_codes.DIVERGED
    state = small.left(tmp_path / "run").state
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state)) and state["skipped"] == 4


def test_a_few_bad_steps_are_skipped_counted_and_logged(finished, tmp_path):
    sections = {"train": {"nonfinite_limit": 3}}
    assert line(tmp_path / "run", Poisoned(noise(), (1, 2, 4)), **sections) == exit_codes.DONE
    rows = [json.loads(row) for row in small.left(tmp_path / "run").metrics.splitlines()]
    assert [(row["skipped"], row["streak"], row["loss"] == "nan") for row in rows if "loss" in row] == [
        (0, 0, False),
        (1, 1, True),
        (2, 2, True),
        (2, 0, False),
        (3, 1, True),
        (3, 0, False),
    ]


def test_evaluation_uses_the_averaged_weights_and_weighs_batches(tmp_path):
    assert line(tmp_path, evals={"every": 9, "batches": 2}) == exit_codes.DONE
    left = small.left(tmp_path)
    held_out = small.Noise(small.Line(), SIZE, seed=1)
    batches = [held_out.batch(position, np.arange(SIZE)) for position in range(2)]
    x, y, weight = (np.concatenate([batch[name] for batch in batches]) for name in ("x", "y", "weight"))
    average = left.state["players"]["model"]["ema"]
    error = x @ average["w"] + average["bias"] - y
    logged = metrics.read(tmp_path / "metrics.jsonl")[-1]
    assert logged["eval/loss"] == pytest.approx((weight * error**2).sum() / weight.sum(), rel=1e-5)


class Shown(small.Line):
    def sample(self, players, batch, context):
        return {"rows": batch["row"]}


@pytest.mark.parametrize("samples, made", [(3, 3), (11, 11), (0, None)])
def test_no_more_pictures_are_drawn_than_shown(tmp_path, samples, made):
    pictures = small.Pictures()
    cfg = small.config(evals={"every": 3, "batches": 0, "samples": samples}, train={"steps": 4})
    assert small.train(Shown(), cfg, tmp_path, show=pictures) == exit_codes.DONE
    assert {step: len(shown["rows"]) for step, shown in pictures.shown.items()} == ({3: made, 4: made} if made else {})


def test_a_signal_during_the_last_evaluation_is_heard(tmp_path):
    """Otherwise the next stage of a stack would begin."""

    def stop(step, pictures, weights):
        os.kill(os.getpid(), signal.SIGTERM)
        return ""

    cfg = small.config(evals={"every": 9, "batches": 0, "samples": 1}, train={"steps": 2})
    assert small.train(Shown(), cfg, tmp_path, show=stop) == exit_codes.PREEMPTED
    assert small.train(Shown(), cfg, tmp_path) == exit_codes.DONE and small.left(tmp_path).step == 2


def test_a_clock_that_is_wrong_changes_nothing(finished, tmp_path, monkeypatch):
    """What is newest is told by the number of its step, not by its time."""
    assert line(tmp_path / "run", small.Stop(noise(), 3)) == exit_codes.PREEMPTED
    for age, path in enumerate(sorted((tmp_path / "run" / "checkpoints").iterdir())):
        os.utime(path, (1e9 - age, 1e9 - age))
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert line(tmp_path / "run") == exit_codes.DONE
    small.assert_equal(small.left(tmp_path / "run").state, small.left(finished).state)
    assert small.left(tmp_path / "run").metrics == small.left(finished).metrics


def test_no_checkpoint_knows_of_a_step_that_the_log_does_not(tmp_path, monkeypatch):
    """So that a process killed at any moment after a save has logged every step before it."""
    logged = []
    save = Checkpointer.save

    def looked_at(self, step, state, **kwargs):
        logged.append((step, [row["step"] for row in metrics.read(tmp_path / "metrics.jsonl")][-1]))
        return save(self, step, state, **kwargs)

    monkeypatch.setattr(Checkpointer, "save", looked_at)
    cfg = small.config(checkpoint={"every": 2}, log={"every": 1}, evals={"every": 9, "batches": 0}, train={"steps": 6})
    assert small.train(small.Line(), cfg, tmp_path) == exit_codes.DONE
    assert logged == [(2, 1), (4, 3), (6, 5)]


def test_a_batch_that_the_devices_cannot_share_is_refused(tmp_path):
    with pytest.raises(ValueError, match="train.batch_size=12 is not divisible by data x fsdp x expert = 8"):
        small.train(small.Line(), small.config(train={"batch_size": 12}), tmp_path, fsdp=8)
    assert not (tmp_path / "checkpoints").exists()


def test_a_changed_line_of_the_log_is_noticed_on_resume_and_in_place(tmp_path, capsys):
    """Of each step before a checkpoint; and a run that was never touched says nothing."""
    small.train(small.Line(), small.config(checkpoint={"every": 2}), tmp_path, data=small.Stop(noise(), 3))
    again = lambda: small.train(small.Line(), small.config(checkpoint={"every": 2}), tmp_path, data=noise())
    path = tmp_path / "metrics.jsonl"
    untouched = shutil.copytree(tmp_path, tmp_path.with_name(f"{tmp_path.name}-untouched"))
    lines = path.read_text().splitlines(keepends=True)
    row = json.loads(lines[1])
    path.write_text("".join([lines[0], json.dumps({**row, "loss": row["loss"] + 1e-9}) + "\n", *lines[2:]]))
    capsys.readouterr()
    assert again() == exit_codes.DONE and f"a line of {path} has changed" in "".join(
        capsys.readouterr().out.split("\n")
    )
    assert small.train(small.Line(), small.config(checkpoint={"every": 2}), untouched, data=noise()) == exit_codes.DONE
    assert "has changed" not in capsys.readouterr().out
    small.assert_equal(small.left(tmp_path).state, small.left(untouched).state)
