"""launch.checkpoint as a user types it, on checkpoints that are intact, damaged, or of other runs."""

import json
import os
import shutil
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from gen import exit_codes, files
from gen.checkpoint import checksums
from gen.checkpoint.checkpointer import Checkpointer
from gen.interop import safetensors
from gen.training.metrics import Metrics
from launch.checkpoint import collect, compare, export, listing, place, verify


def state(seed):
    draw = np.random.default_rng(seed)
    player = {"params": {"w": jnp.asarray(draw.normal(size=(30, 40)), jnp.float32), "b": jnp.zeros(3)}}
    return {"step": jnp.int32(seed), "players": {"model": player}, "extra": {}}


def save(folder, *steps):
    checkpoints = Checkpointer(folder / "checkpoints", every=1, keep=99, keep_every=None)
    for step in steps:
        checkpoints.save(step, state(step))
    checkpoints.close()
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    run = save(root / "lm", 1, 2, 3)
    (run / "config.json").write_text(json.dumps({"optim": {"lr": 0.1}, "seed": 0}))
    return root


@pytest.fixture
def runs(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "runs")


def damage(path):
    """One bit of the largest file of a step."""
    largest = max(files.regular_files(path).values(), key=lambda file: file.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 4
    largest.write_bytes(data)
    return str(largest.relative_to(path))


def test_places_that_a_user_may_write(runs):
    folder = runs / "lm" / "checkpoints"
    for where in (runs, runs / "lm", folder):
        assert place.found(str(where)) == {folder: [1, 2, 3]}
    assert place.found(f"{runs}/lm@2") == {folder: [2]} and place.one(f"{runs}/lm") == folder / "3"
    with pytest.raises(ValueError, match="holds no checkpoint; there are 1, 2, 3"):
        place.found(f"{runs}/lm@7")
    save(runs / "clip", 3)
    with pytest.raises(ValueError, match="holds several runs: name one of .*clip, .*lm"):
        place.one(str(runs))


def test_list_says_what_each_holds_and_what_cannot_be_proven(runs, capsys):
    shutil.rmtree(runs / "lm" / "checkpoints" / "2" / "proof")
    (runs / "lm" / "checkpoints" / "3.files.json").unlink()
    steps = {step: listing.described(runs / "lm" / "checkpoints" / str(step)) for step in (1, 2, 3)}
    digest = checksums.read(runs / "lm" / "checkpoints" / "1").digest()
    assert steps[1][2:] == ("3", "0.00 M", digest, "arrays and files") and steps[3][-1] == "arrays"
    assert "damaged: the file proof/0.json cannot be read" in steps[2][-1]
    assert listing.show([str(runs)]) == 0
    said = "".join(line.strip() for line in capsys.readouterr().out.splitlines())  # a long title goes over several
    assert "lm/checkpoints" in said


def test_verify_names_every_damaged_file_and_array(runs, capsys):
    folder = runs / "lm" / "checkpoints"
    assert verify.verify([str(runs)]) == exit_codes.DONE
    name = damage(folder / "2")
    (folder / "2" / "_CHECKPOINT_METADATA").unlink()
    assert verify.verify([str(runs)]) == exit_codes.FAILED
    said = capsys.readouterr().out
    assert f"{folder}/2: DAMAGED\n" in said and f"{folder}/3: intact\n" in said
    assert "the file _CHECKPOINT_METADATA is missing" in said and f"the file {name} has changed" in said
    assert verify.verify([f"{runs}/lm@2"]) == exit_codes.FAILED and verify.verify([f"{runs}/lm@3"]) == exit_codes.DONE
    for step in (1, 3):
        damage(folder / str(step))
    assert verify.verify([f"{runs}/lm"]) == exit_codes.NO_CHECKPOINT


def test_verify_names_arrays_where_no_file_is_recorded(runs, capsys):
    folder = runs / "lm" / "checkpoints"
    shutil.rmtree(folder / "2" / "state")
    shutil.copytree(folder / "3" / "state", folder / "2" / "state")
    (folder / "2.files.json").unlink()
    assert verify.verify([f"{runs}/lm@2"]) == exit_codes.FAILED
    said = capsys.readouterr().out
    assert "the array players/model/params/w has digest" in said and "the array step has digest" in said
    assert "params/b" not in said


def test_diff_measures_what_differs(runs, capsys):
    assert compare.compare(f"{runs}/lm@2", f"{runs}/lm@2") == exit_codes.DONE
    other = save(runs / "other", 1)
    (other / "config.json").write_text(json.dumps({"optim": {"lr": 0.2}, "seed": 0}))
    assert compare.compare(f"{runs}/lm@1", str(other)) == exit_codes.DONE
    assert "config optim.lr: 0.1, 0.2" in capsys.readouterr().out
    changed = state(1)
    changed["players"]["model"]["params"]["w"] = changed["players"]["model"]["params"]["w"].at[2, 3].add(0.5)
    changed["players"]["model"]["params"]["more"] = jnp.ones(2)
    del changed["players"]["model"]["params"]["b"]
    checkpoints = Checkpointer(runs / "third" / "checkpoints", every=1, keep=9, keep_every=None)
    checkpoints.save(1, changed)
    checkpoints.close()
    found = {d.path: d for d in compare.verify.differences(place.one(f"{runs}/lm@1"), place.one(f"{runs}/third"))}
    w = found["players/model/params/w"]
    assert w.said == "1 of 1,200" and abs(w.largest - 0.5) < 1e-6
    scale = np.sqrt(np.mean(np.asarray(state(1)["players"]["model"]["params"]["w"], np.float64) ** 2))
    assert abs(w.relative - 0.5 / np.sqrt(1200) / scale) < 1e-6
    assert found["players/model/params/b"].said.startswith("only in") and len(found) == 3
    assert compare.compare(f"{runs}/lm@1", f"{runs}/third") == exit_codes.FAILED


@pytest.mark.parametrize("recorded", [True, False])
def test_a_damaged_copy_is_not_called_equal(runs, recorded):
    copy = shutil.copytree(runs / "lm", runs / "copy") / "checkpoints"
    damage(copy / "2")
    if not recorded:
        (copy / "2.files.json").unlink()
    with pytest.raises(ValueError, match="cannot be compared: .* has changed|cannot be compared: the array"):
        compare.compare(f"{runs}/lm@2", f"{runs}/copy@2")


def test_export_is_what_was_saved(runs, tmp_path):
    assert export.export(f"{runs}/lm@2", str(tmp_path / "w.safetensors"), None) == 0
    arrays = safetensors.load(tmp_path / "w.safetensors")
    assert arrays.keys() == {"w", "b"}
    np.testing.assert_array_equal(arrays["w"], state(2)["players"]["model"]["params"]["w"])
    assert export.export(f"{runs}/lm@2", str(tmp_path / "all.safetensors"), "") == 0
    assert "players/model/params/w" in safetensors.load(tmp_path / "all.safetensors")
    with pytest.raises(ValueError, match="all.safetensors exists already; name another file, or give --overwrite"):
        export.export(f"{runs}/lm@2", str(tmp_path / "all.safetensors"), None)
    assert export.export(f"{runs}/lm@2", str(tmp_path / "all.safetensors"), None, overwrite=True) == 0
    assert safetensors.load(tmp_path / "all.safetensors").keys() == {"w", "b"}
    with pytest.raises(ValueError, match="--part=ema: the checkpoint has no such part; it has players/model/params"):
        export.export(f"{runs}/lm@2", str(tmp_path / "x"), "ema")
    damage(runs / "lm" / "checkpoints" / "2")
    with pytest.raises(ValueError, match="2 is damaged: the file"):
        export.export(f"{runs}/lm@2", str(tmp_path / "y"), None)
    assert not (tmp_path / "y").exists()


def test_gc_never_removes_the_last_that_is_intact(runs, capsys):
    folder = runs / "lm" / "checkpoints"
    (folder / "9.orbax-checkpoint-tmp").mkdir()
    collect.collect([str(runs)], keep=1, keep_every=None, dry_run=True)
    assert "would remove 1, 2" in capsys.readouterr().out and place.found(str(runs))[folder] == [1, 2, 3]
    damage(folder / "3")
    assert collect.collect([str(runs)], keep=1, keep_every=None, dry_run=False) == exit_codes.DONE
    assert {path.name for path in folder.iterdir()} == {"2", "2.files.json"}  # the newest, 3, was damaged
    damage(folder / "2")
    assert collect.collect([str(runs)], keep=1, keep_every=None, dry_run=False) == exit_codes.NO_CHECKPOINT
    assert (folder / "2").exists()


def test_gc_keeps_multiples_and_leaves_runs_that_are_written(runs):
    folder = runs / "lm" / "checkpoints"
    from gen.training.run_dir import RunDir

    job = RunDir(runs / "lm")
    job.take()
    with pytest.raises(ValueError, match="is in use by another job"):
        collect.collect([str(runs)], keep=1, keep_every=2, dry_run=False)
    job.release()
    collect.collect([str(runs)], keep=1, keep_every=2, dry_run=False)
    assert place.found(str(runs))[folder] == [2, 3]


def test_verify_reads_a_large_checkpoint_in_parts(runs, monkeypatch):
    from gen.checkpoint import step_dir
    from gen.checkpoint import verify as steps

    read = []
    load = step_dir.load
    monkeypatch.setattr(steps, "PART", 1000)
    monkeypatch.setattr(
        step_dir, "load", lambda path, contents, names, **how: read.append(len(names)) or load(path, contents, names)
    )
    assert steps.problems(runs / "lm" / "checkpoints" / "1") == [] and sum(read) == 3 and max(read) < 3


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        ([], 2, "error: say what to do, as `list DIR`; there are list, verify, diff, export, gc"),
        (["verfy", "x"], 2, "did you mean 'verify'"),
        (["diff", "x"], 2, "error: diff takes 2 places, as runs/lm or runs/lm@500"),
        (["list", "nowhere"], 2, "error: nowhere holds no checkpoint"),
        (["export", "lm"], 2, "error: --to is missing"),
        (["verify", "lm"], 0, ""),
    ],
)
def test_the_command_line(runs, argv, code, message):
    command = [sys.executable, "-m", "launch.checkpoint", *argv]
    env = os.environ | {"PYTHONPATH": os.getcwd()}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=runs)
    assert done.returncode == code and message in done.stderr and "Traceback" not in done.stderr


def test_verify_says_where_the_log_has_changed(tmp_path, capsys):
    """In the lines between two checkpoints; what was logged after the last one is nobody's yet."""
    place, draw = tmp_path / "run", np.random.default_rng(0)
    place.mkdir()
    with (
        Metrics(place / "metrics.jsonl", 0) as log,
        Checkpointer(place / "checkpoints", every=1, keep=9, keep_every=None) as checkpoints,
    ):
        for step in range(1, 5):
            log.write(step - 1, {"loss": draw.random()})
            checkpoints.save(step, state(step), extra_json={"skips": [], "metrics": log.seal()})
        log.write(4, {"loss": 0.5})
    assert verify.verify([str(place)]) == exit_codes.DONE
    path = place / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], lines[2].replace("0.", "1."), *lines[3:]]))
    capsys.readouterr()
    assert verify.verify([str(place)]) == exit_codes.FAILED
    assert f"{path}: CHANGED since it was logged, in the lines of steps 2 to 2\n" in capsys.readouterr().out
    path.write_text("".join([*lines[:4], lines[4].replace("0.5", "0.6")]))
    assert verify.verify([str(place)]) == exit_codes.DONE
    path.unlink()
    assert verify.verify([str(place)]) == exit_codes.FAILED


def test_names_that_a_terminal_would_obey(runs, capsys):
    odd = runs / "\x1b[2J[bold]run"
    (runs / "lm").rename(odd)
    listing.show([str(odd)])
    verify.verify([str(odd)])
    collect.collect([str(odd)], 9, None, True)
    compare.compare(f"{odd}@1", f"{odd}@2")
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "␛[2J[bold]run" in shown.replace("\n", "")


def test_gc_leaves_what_is_of_another_place(runs, capsys):
    folder = runs / "lm" / "checkpoints"
    shutil.copytree(folder / "2", folder / "7")
    assert collect.collect([str(runs / "lm")], 1, None, False) == exit_codes.DONE
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["3", "7"]
    assert "7 is left: it was saved as step 2" in capsys.readouterr().out
