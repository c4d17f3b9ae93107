"""Outliers among gradients are found by statistics that NumPy agrees with; they are noted, skipped, or rewound."""

import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import small

from gen import exit_codes
from gen.checkpoint import restore
from gen.checkpoint.checkpointer import Checkpointer
from gen.training import metrics, spikes
from gen.training.data_skips import DataSkips
from gen.training.run_dir import RunDir
from gen.training.spikes import SpikeConfig

WINDOW = 8
SPIKE = 23
RARE = {"every": 5}  # steps between checkpoints
STEPS = 40


class Spiky:
    """Data that is far off at one position."""

    def __init__(self, at, size=8):
        self.data, self.at = small.Noise(small.Line(), size), at

    def batch(self, position, rows):
        batch = self.data.batch(position, rows)
        return {**batch, "y": batch["y"] + 1e4} if position == self.at else batch


class During(Spiky):
    """The same, and something happens as its batch of one position is read."""

    def __init__(self, at, position, happens):
        super().__init__(at)
        self.position, self.happens = position, happens

    def batch(self, position, rows):
        if position == self.position:
            self.happens()
        return super().batch(position, rows)


def killed():
    raise KeyboardInterrupt


def stopped():
    os.kill(os.getpid(), signal.SIGTERM)


def train(directory, action, data, steps=STEPS, checkpoint=None, **how):
    rule = {"action": action, "window": WINDOW, "back": 4, "batches": 3} | how
    train = {"steps": steps, "spikes": rule}
    evals, optim = {"every": 1000, "batches": 1, "samples": 0}, {"lr": 0.01, "clip": 1.0, "schedule": "constant"}
    cfg = small.config(train=train, evals=evals, optim=optim, checkpoint={"every": 2, "keep": 99} | (checkpoint or {}))
    return small.train(small.Line(), cfg, directory, data=data)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that met the spike and was left alone."""
    directory = tmp_path_factory.mktemp("runs") / "whole"
    assert train(directory, "rewind", Spiky(SPIKE)) == exit_codes.DONE
    return directory


@pytest.fixture(scope="module")
def rarely_saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "rarely"
    assert train(directory, "rewind", Spiky(SPIKE), checkpoint=RARE) == exit_codes.DONE
    return directory


def rows(directory):
    return {row["step"]: row for row in metrics.read(directory / "metrics.jsonl") if "loss" in row}


def test_the_statistics_are_those_of_the_last_steps():
    cfg = SpikeConfig(window=5)
    norms = np.exp(np.random.default_rng(0).normal(size=40)).astype(np.float32)
    found = {"model": jnp.zeros(3)}
    mean = variance = 0.0
    for n, norm in enumerate(norms):
        found = spikes.counted(found, {"model": jnp.asarray(norm)}, cfg)
        x, share = np.log(norm), 1 / min(n + 1, 5)
        mean, variance = mean + share * (x - mean), (1 - share) * (variance + share * (x - mean) ** 2)
        if n < 5:  # until it is full: plain mean and variance
            logs = np.log(norms[: n + 1])
            np.testing.assert_allclose((mean, variance), (logs.mean(), logs.var()), atol=1e-6)
    np.testing.assert_allclose(found["model"], (40, mean, variance), rtol=1e-5)


def test_what_is_an_outlier():
    cfg = SpikeConfig(window=5, deviations=3.0)
    steady = {"a": jnp.asarray([9.0, 0.0, 1.0]), "b": jnp.asarray([9.0, 0.0, 1.0])}
    judge = lambda a, b, seen=steady: bool(spikes.outlier(seen, {"a": jnp.exp(a), "b": jnp.exp(b)}, cfg))
    assert not judge(2.9, 2.9) and judge(3.1, 0.0) and judge(0.0, 3.1) and not judge(-9.0, 0.0)
    assert not judge(np.nan, 0.0)  # who rests has no norm
    assert not judge(99.0, 0.0, {"a": jnp.asarray([4.0, 0.0, 1.0]), "b": steady["b"]})  # too early to tell
    before = spikes.counted(steady, {"a": jnp.float32(np.nan), "b": jnp.float32(1)}, cfg)
    assert before["a"].tolist() == [9.0, 0.0, 1.0] and before["b"][0] == 10


@pytest.mark.parametrize("bad", [{"deviations": 0.0}, {"window": 1}, {"back": -1}, {"batches": 0}, {"most": 0}])
def test_numbers_without_meaning_are_refused(bad):
    (name,) = bad
    with pytest.raises(ValueError, match=f"^{name}=.* must be "):
        SpikeConfig(**bad)


def test_a_spike_is_noted_and_applied(tmp_path):
    assert train(tmp_path, "note", Spiky(SPIKE)) == exit_codes.DONE
    found = rows(tmp_path)
    assert [step for step, row in found.items() if row["outlier"]] == [SPIKE]
    assert found[STEPS - 1]["skipped"] == 0


def test_a_skipped_spike_changes_nothing(tmp_path):
    """As if that batch had not been there: the state after it is the one before, one step on."""
    assert train(tmp_path / "skip", "skip", Spiky(SPIKE)) == exit_codes.DONE
    found = rows(tmp_path / "skip")
    assert [step for step, row in found.items() if row["outlier"]] == [SPIKE]
    assert found[SPIKE]["skipped"] == 1 == found[STEPS - 1]["skipped"] and found[STEPS - 1]["streak"] == 0
    after = restore.load_params(tmp_path / "skip" / "checkpoints", step=SPIKE + 1)[1]
    assert train(tmp_path / "before", "skip", Spiky(None), steps=SPIKE) == exit_codes.DONE
    before = small.left(tmp_path / "before").state
    assert int(after["step"]) == int(before["step"]) + 1 == SPIKE + 1
    small.assert_equal(after["players"], before["players"])
    small.assert_equal(after["norms"], before["norms"])


def test_nothing_but_spikes_is_divergence(tmp_path):
    class Off(Spiky):
        def batch(self, position, rows):
            batch = self.data.batch(position, rows)
            return {**batch, "y": batch["y"] + 1e4} if position >= self.at else batch

    assert train(tmp_path, "skip", Off(SPIKE)) == exit_codes.DIVERGED
    assert small.left(tmp_path).step == SPIKE + 11  # ten in a row, and one that was under way


def test_a_rewind_leaves_out_the_batches_of_the_spike(tmp_path):
    assert train(tmp_path / "run", "rewind", Spiky(SPIKE)) == exit_codes.DONE
    (skip,) = json.loads((tmp_path / "run" / "skips.json").read_text())["skips"]
    assert skip == {"at": 18, "batches": 6, "spike": SPIKE}  # the checkpoint 4 or more before; up to the spike
    found = rows(tmp_path / "run")
    assert list(found) == list(range(STEPS)) and not any(row["outlier"] for row in found.values())

    class Shifted(Spiky):  # a run that never had those batches
        def batch(self, position, rows):
            return super().batch(position + 6 if position >= 18 else position, rows)

    assert train(tmp_path / "expected", "rewind", Shifted(SPIKE)) == exit_codes.DONE
    small.assert_equal(small.left(tmp_path / "run").state, small.left(tmp_path / "expected").state)
    assert small.left(tmp_path / "run").metrics == small.left(tmp_path / "expected").metrics


@pytest.mark.parametrize("position", [25, 24, 40])
def test_a_rewind_survives_being_killed(whole, tmp_path, position):
    """Before the spike is seen, as the rewound run reads its first batch, or long after."""
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", "rewind", During(SPIKE, position, killed))
    assert train(tmp_path / "run", "rewind", Spiky(SPIKE)) == exit_codes.DONE
    assert_same(tmp_path / "run", whole)


def assert_same(one, other):
    small.assert_equal(small.left(one).state, small.left(other).state)
    assert small.left(one).metrics == small.left(other).metrics


@pytest.mark.parametrize("stop", [SPIKE - 1, SPIKE, SPIKE + 1])
def test_a_rewind_survives_a_stop_at_the_spike(rarely_saved, tmp_path, stop):
    """The state that the spike has made is never saved."""
    assert train(tmp_path / "run", "rewind", During(SPIKE, stop, stopped), checkpoint=RARE) == exit_codes.PREEMPTED
    assert train(tmp_path / "run", "rewind", Spiky(SPIKE), checkpoint=RARE) == exit_codes.DONE
    assert (tmp_path / "run" / "skips.json").read_text() == (rarely_saved / "skips.json").read_text()
    assert_same(tmp_path / "run", rarely_saved)


def test_a_rewind_that_is_killed_before_it_is_recorded_is_made_again(whole, tmp_path, monkeypatch):

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(DataSkips, "add", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", "rewind", Spiky(SPIKE))
    monkeypatch.undo()
    assert train(tmp_path / "run", "rewind", Spiky(SPIKE)) == exit_codes.DONE
    assert_same(tmp_path / "run", whole)


def test_steps_that_a_later_launch_has_done_again_are_its_own(tmp_path):
    """Replay takes each step as the launch had it that trained it in the end."""
    rare = {"every": 10, "keep": 99}
    assert train(tmp_path, "rewind", During(SPIKE, 21, stopped), checkpoint=rare) == exit_codes.PREEMPTED
    run = RunDir(tmp_path)
    run.record_launch({})
    assert train(tmp_path, "rewind", Spiky(SPIKE), checkpoint=rare) == exit_codes.DONE
    assert run.launches()[-1]["start"] == 10


def test_a_spike_in_the_last_step_is_rewound(tmp_path):
    assert train(tmp_path, "rewind", Spiky(SPIKE), steps=SPIKE + 1) == exit_codes.DONE
    assert not any(row["outlier"] for row in rows(tmp_path).values()) and (tmp_path / "skips.json").exists()


def test_steps_that_were_superseded_before_a_rewind_are_saved_again(tmp_path, monkeypatch):
    saved, commit = [], Checkpointer._commit

    def noted(self, step, wait):
        saved.append(step)
        return commit(self, step, wait)

    monkeypatch.setattr(Checkpointer, "_commit", noted)
    rare = {"every": 5, "keep": 1}
    assert train(tmp_path, "rewind", Spiky(SPIKE), back=8, checkpoint=rare) == exit_codes.DONE
    assert saved == [5, 10, 15, 20, 5, 10, 15, 20, 25, 30, 35, 40]  # back to the beginning, as only 20 was there


def test_a_rewind_passes_over_a_damaged_checkpoint(tmp_path):
    damage = lambda: (tmp_path / "checkpoints" / "18" / "proof" / "0.json").write_text("{}")
    assert train(tmp_path, "rewind", During(SPIKE, SPIKE, damage)) == exit_codes.DONE
    (skip,) = json.loads((tmp_path / "skips.json").read_text())["skips"]
    assert skip["at"] == 16


def test_a_rewind_holds_one_state(tmp_path, monkeypatch):
    weights = lambda: sum(x.shape == small.Line.players["model"].specs["w"].shape for x in jax.live_arrays())
    held, read = [], restore._restore

    def noted(*args):
        held.append(weights())
        return read(*args)

    monkeypatch.setattr(restore, "_restore", noted)
    before = weights()
    assert train(tmp_path, "rewind", Spiky(SPIKE)) == exit_codes.DONE
    assert held == [before]


def test_checkpoints_that_were_taken_back_are_not_resumed(whole, tmp_path, monkeypatch):
    """Killed after the record is written and before they are removed."""
    keep_only = Checkpointer.keep_only

    def killed(self, belongs):
        if list(self.directory.glob("22")):
            raise KeyboardInterrupt
        return keep_only(self, belongs)

    monkeypatch.setattr(Checkpointer, "keep_only", killed)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", "rewind", Spiky(SPIKE))
    monkeypatch.undo()
    assert max(restore.steps(tmp_path / "run" / "checkpoints")) == 22 and (tmp_path / "run" / "skips.json").exists()
    assert train(tmp_path / "run", "rewind", Spiky(SPIKE)) == exit_codes.DONE
    small.assert_equal(small.left(tmp_path / "run").state, small.left(whole).state)


def test_too_many_rewinds_are_divergence(tmp_path):
    class Always(Spiky):
        def batch(self, position, rows):
            batch = self.data.batch(position, rows)
            return {**batch, "y": batch["y"] + 1e4} if position >= SPIKE else batch

    assert train(tmp_path, "rewind", Always(SPIKE), most=2) == exit_codes.DIVERGED
    assert len(json.loads((tmp_path / "skips.json").read_text())["skips"]) == 2


def test_a_lost_record_is_not_taken_for_another_history(tmp_path):
    assert train(tmp_path, "rewind", Spiky(SPIKE)) == exit_codes.DONE
    steps = restore.steps(tmp_path / "checkpoints")
    (tmp_path / "skips.json").unlink()
    with pytest.raises(ValueError, match=r"skips.json lacks Skip\(at=18, .*; restore it from a copy"):
        train(tmp_path, "rewind", Spiky(SPIKE))
    assert restore.steps(tmp_path / "checkpoints") == steps
