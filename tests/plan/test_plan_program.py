"""launch.plan and launch.train --plan, as a user starts them."""

import dataclasses
import json
import os
import subprocess
import sys

import jax
import pytest

from gen.plan import report, runs, topology
from gen.plan.plan import OutOfMemory
from gen.runs import config_file
from gen.runs.recipe import described

QUICK = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
TINY = "--config=configs/lm/stdlib.py:tiny"


def program(*argv) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", *argv], capture_output=True, text=True, check=False, env=os.environ | QUICK
    )
    return done.returncode, done.stdout, done.stderr


def test_a_plan_is_shown_and_written(tmp_path):
    path = tmp_path / "plan.json"
    code, output, error = program("launch.plan", TINY, "--topology=gpu:h100x2", "--program=train", f"--json={path}")
    assert (code, error) == (0, "")
    assert "in all, a device" in output and "fits" in output and "MFU at most" in output
    written = json.loads(path.read_text())
    one = written["runs"]["lm"]
    assert (written["topology"], written["exact"], one["mesh"]["data"]) == ("gpu:h100x2", False, 2)
    assert one["train"]["total"] == sum(one["train"]["bytes"].values())
    assert one["train"]["peak"] == 2 * 989e12 and one["train"]["mfu"] < 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([TINY], "--topology is missing: the machine, as v5p:8x8x8"),
        ([TINY, "--topology=v9:2x2"], "topology 'v9:2x2' is none: write v5p:4x4x4"),
    ],
)
def test_bad_input_is_one_sentence(argv, message):
    code, output, error = program("launch.plan", *argv)
    assert (code, output) == (2, "")
    assert error.startswith(f"error: {message}") and error.count("\n") == 1


@pytest.mark.parametrize(
    ("file", "planned", "message"),
    [
        ("lm/stdlib.py:tiny", runs.plan, "train.batch_size=8 is not divisible by data x fsdp x expert = 3 devices"),
        ("chat/sft.py", runs.plan, "task 'chat' begins from another run: set upstream.base=DIR"),
        (
            "unclip/digits.py",
            runs.search,
            "--search lays out one run: choose a stage, FILE.py:STAGE, of clip, prior",
        ),
    ],
)
def test_what_cannot_be_planned_says_why(file, planned, message):
    with pytest.raises(ValueError, match=message):
        planned(config_file.load_config(f"configs/{file}"), topology.parse("cpu:3"), 1)


def test_every_stage_of_a_stack_is_described_with_what_it_reads():
    found = described(config_file.load_config("configs/unclip/dalle2.py"))
    assert found["decoder"].models["clip"] == found["clip"].cfg.model
    assert set(found) == set(config_file.load_config("configs/unclip/dalle2.py")["order"])


def test_training_does_not_start_where_it_does_not_fit(monkeypatch, capsys):
    here = topology.Machine("this machine", "cpu", "cpu", len(jax.devices()), memory=100.0)
    monkeypatch.setattr(report.topology, "here", lambda: here)
    large = OutOfMemory("it needs 21.50 GiB of the 15.75 GiB that TPU v5e has", 1)
    monkeypatch.setattr(runs, "plan_training", lambda *_: large)
    with pytest.raises(ValueError, match="this run does not fit: it needs 21.50 GiB .* on a device; spread it over"):
        report.check_fits_here(config_file.load_config("configs/lm/stdlib.py:tiny"))
    assert "it needs 21.50 GiB" in capsys.readouterr().out


def test_a_search_is_shown_and_written(tmp_path):
    path = tmp_path / "tried.json"
    code, output, error = program("launch.plan", TINY, "--topology=gpu:h100x2", "--search=2", f"--json={path}")
    assert (code, error) == (0, "") and "MFU at most" in output
    tried = json.loads(path.read_text())["tried"]
    assert len(tried) == 2 and {one["mesh"]["fsdp"] for one in tried} == {1, 2}
    assert tried[0]["train"]["seconds"] <= tried[1]["train"]["seconds"]
    code, output, error = program("launch.plan", TINY, "--topology=cpu:64", "--search=2")
    assert (code, output) == (2, "") and "is not divisible by tensor=16; change the mesh" in error


def test_samples_that_do_not_fit_beside_what_training_keeps_are_refused(monkeypatch):
    data = config_file.load_config("configs/lm/stdlib.py:tiny")
    (planned,) = runs.plan(data, topology.here(), "both").values()
    train, sample = planned.plans["train"], planned.plans["sample"]
    kept = train.total - train.bytes["temporaries"] - train.bytes["batch"]
    assert kept >= train.bytes["parameters"] + train.bytes["optimizer"]
    own = sample.bytes["batch"] + sample.bytes["temporaries"] + sample.bytes["code"]
    for room, fits in ((kept + own, True), (kept + own - 1, False)):
        assert report.samples_beside(dataclasses.replace(train, capacity=float(room)), sample) is fits


def test_this_machine_s_memory_is_known():
    machine = topology.here()
    assert machine.count == len(jax.devices()) and 2**26 < machine.capacity < 2**44
