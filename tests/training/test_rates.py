"""A schedule that ends elsewhere than before: said where the run is taken up, with both rates, and kept by a key."""

import pytest

from gen import exit_codes
from gen.training import metrics, rates
from gen.training.run_dir import RunDir
from tests import small

TASK = small.Line()
LINEAR = {"lr": 0.01, "schedule": "linear"}


def config(train_steps, **optim):
    return small.config(train={"steps": train_steps}, optim=LINEAR | optim, evals={"every": 100})


def launched(steps, schedule_steps=None):
    return {"steps": steps, "schedule_steps": schedule_steps}


@pytest.mark.parametrize(
    ("cfg", "launch", "now", "then", "end"),
    [
        (config(8), launched(4), 0.005, 0, 4),  # longer
        (config(5), launched(8), 0.002, 0.005, 8),  # shorter
        (config(8), launched(8, 4), 0.005, 0, 4),  # a key that is gone
        (config(8, steps=16), {"steps": 8}, 0.0075, 0.005, 8),  # as manifests of 0.1.0 are
    ],
)
def test_both_rates_are_named_and_the_key_that_keeps_the_old_end(cfg, launch, now, then, end):
    (sentence,) = rates.changes(TASK, cfg, launch, 4, {"model": 4})
    assert f"the learning rate at step 4 is {now}, and was to be {then}:" in sentence
    assert f"--config.optim.steps={end} keeps that end" in sentence


@pytest.mark.parametrize(
    ("cfg", "launch"),
    [
        (config(8), launched(8)),
        (config(8, steps=4), launched(4)),  # the old end, kept
        (config(8, schedule="constant"), launched(4)),
        (config(8), {}),  # nothing is known
    ],
)
def test_an_equal_rate_needs_no_word(cfg, launch):
    assert rates.changes(TASK, cfg, launch, 4, {"model": 4}) == []


def test_a_player_with_a_schedule_of_its_own_is_left_alone():
    cfg = config(8, players={"model": {"steps": 6}})
    assert rates.changes(TASK, cfg, launched(4), 4, {"model": 4}) == []


def test_a_longer_run_says_so_or_keeps_the_end_of_its_schedule(tmp_path, capsys):
    def go_on(name, cfg):
        run = RunDir(tmp_path / name)
        run.record_launch({"steps": cfg.train.steps, "schedule_steps": cfg.optim.steps})
        assert small.train(TASK, cfg, tmp_path / name) == exit_codes.DONE
        rows = {row["step"]: row["lr"] for row in metrics.read(tmp_path / name / "metrics.jsonl") if "lr" in row}
        return rows, capsys.readouterr().out

    for name in ("bent", "kept"):
        (tmp_path / name).mkdir()
        rows, said = go_on(name, config(4))
        assert rows[3] == pytest.approx(0.0025) and "note" not in said
    rows, said = go_on("bent", config(8))
    assert "note: the learning rate at step 4 is 0.005, and was to be 0" in said and rows[4] == pytest.approx(0.005)
    assert "note" not in go_on("bent", config(8))[1]
    rows, said = go_on("kept", config(8, steps=4))
    assert "note" not in said and rows[4] == rows[7] == 0
