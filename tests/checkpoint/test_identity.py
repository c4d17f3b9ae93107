"""A checkpoint belongs to one step of one run: moved elsewhere it is refused by name; copies of whole runs go on."""

import json
import shutil
from pathlib import Path

import jax.numpy as jnp
import pytest

from gen.checkpoint import checksums, identity, restore, step_dir, verify
from gen.checkpoint.checkpointer import Checkpointer
from gen.checkpoint.restore import NoIntactCheckpoint
from gen.training.run_dir import RunDir

FROZEN = Path(__file__).parent / "frozen" / "checkpoints"
MAY_CHANGE = ("train.steps",)


def state(step, seed=0):
    return {"step": jnp.int32(step), "w": jnp.full(3, 100.0 * seed + step)}


def train(place, *steps, seed=0, length=9):
    """A run that saves at some steps."""
    run = RunDir(place)
    run.claim({"seed": seed, "train": {"steps": length}}, MAY_CHANGE)
    with opened(run) as checkpoints:
        for step in steps:
            checkpoints.save(step, state(step, seed))
    run.release()
    return run


def opened(run, warn=lambda said: None):
    return Checkpointer(run.checkpoints, every=1, keep=9, keep_every=None, warn=warn, run=run.identity())


def newest(run):
    """The step that is restored, its weights' first value, and what is said."""
    said = []
    step, found = restore.restore(run.checkpoints, state(0), warn=said.append)
    return step, float(found["w"][0]), said


def move(source, target, copy):
    """A step directory under another name, with the record of its files."""
    (shutil.copytree if copy else shutil.move)(source, target)
    (shutil.copyfile if copy else shutil.move)(step_dir.files_record(source), step_dir.files_record(target))


def test_what_a_checkpoint_says_is_in_what_its_checksum_covers(tmp_path):
    run = train(tmp_path / "run", 1, 2)
    own = run.identity()
    contents = checksums.read(run.checkpoints / "2")
    assert contents.origin == {"step": 2, "run": own["id"], "config": own["configs"][-1]}
    path = run.checkpoints / "2" / "proof" / "0.json"
    path.write_text(path.read_text().replace('"step": 2', '"step": 3'))
    step_dir.files_record(run.checkpoints / "2").unlink()
    move_to = run.checkpoints / "3"
    (run.checkpoints / "2").rename(move_to)
    step, _, said = newest(run)
    assert step == 1 and "the file proof/0.json has changed" in said[0]


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("source", [1, 2])
def test_a_step_under_a_higher_number_is_refused_and_the_last_good_one_used(tmp_path, copy, source):
    run = train(tmp_path / "run", 1, 2)
    move(run.checkpoints / str(source), run.checkpoints / "7", copy)
    step, w, said = newest(run)
    assert step == w == (2 if copy or source == 1 else 1)
    assert said == [
        f"the checkpoint {run.checkpoints / '7'} is not used: it was saved as step {source}, and has been renamed or"
        " copied"
    ]
    assert f"saved as step {source}" in verify.problems(run.checkpoints / "7")[0]


def test_a_step_of_another_seed_is_refused(tmp_path):
    run, other = train(tmp_path / "run", 1, 2), train(tmp_path / "other", 5, seed=1)
    move(other.checkpoints / "5", run.checkpoints / "5", copy=True)
    step, w, said = newest(run)
    assert step == w == 2 and f"saved by another run ({other.identity()['id']}" in said[0]
    shutil.rmtree(run.checkpoints / "1")
    shutil.rmtree(run.checkpoints / "2")
    with pytest.raises(NoIntactCheckpoint, match="tried 5"):
        newest(run)


def test_also_where_the_run_is_new_or_has_lost_its_manifest(tmp_path):
    other = train(tmp_path / "other", 5, seed=1)
    (tmp_path / "new").mkdir()
    shutil.copytree(other.checkpoints, tmp_path / "new" / "checkpoints")
    run = train(tmp_path / "new")
    with pytest.raises(NoIntactCheckpoint):
        newest(run)
    other.manifest_json.unlink()  # its checkpoints still tell which run it is
    again = train(tmp_path / "other", 6, seed=1)
    assert (
        newest(again)[:2] == (6, 106.0)
        and checksums.read(again.checkpoints / "5").origin["run"] == again.identity()["id"]
    )


def test_a_config_that_this_run_never_had_is_refused(tmp_path):
    run = train(tmp_path / "run", 1, 2)
    held = json.loads(run.manifest_json.read_text())
    run.manifest_json.write_text(json.dumps({**held, "run": {"id": held["run"]["id"], "configs": ["0" * 64]}}))
    with pytest.raises(NoIntactCheckpoint):
        newest(run)


def test_a_copy_of_the_whole_run_and_a_longer_one_go_on(tmp_path):
    train(tmp_path / "run", 1, 2)
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    (tmp_path / "link").symlink_to(tmp_path / "copy")
    copied = train(tmp_path / "link", 3, length=20)
    assert newest(copied) == (3, 3.0, []) and len(copied.identity()["configs"]) == 1


def test_a_version_that_knows_more_keys_goes_on(tmp_path):
    train(tmp_path / "run", 1)
    run = RunDir(tmp_path / "run")
    complete = lambda old: {"lora": None, **old}
    run.claim({"seed": 0, "train": {"steps": 9}, "lora": None}, MAY_CHANGE, complete)
    assert newest(run)[0] == 1 and len(run.identity()["configs"]) == 2


def test_what_is_misplaced_is_kept_when_the_run_comes_to_its_step(tmp_path):
    run, other = train(tmp_path / "run", 1), train(tmp_path / "other", 2, seed=1)
    move(other.checkpoints / "2", run.checkpoints / "2", copy=False)
    said = []
    with opened(run, said.append) as checkpoints:
        assert checkpoints.restore(state(0))[0] == 1
        checkpoints.save(2, state(2))
    assert newest(run) == (2, 2.0, []) and "is kept as" in said[-1]
    move(run.checkpoints / "2.misplaced-0", other.checkpoints / "2", copy=False)
    assert newest(other) == (2, 102.0, [])


def test_checkpoints_of_an_earlier_version_load_and_only_where_they_belong(tmp_path):
    """They say nothing of a run, and have the count of their steps among their arrays."""
    folder = shutil.copytree(FROZEN, tmp_path / "run" / "checkpoints")
    assert checksums.read(folder / "7").origin is None and restore.load_params(folder)[0] == 7
    RunDir(tmp_path / "run").identify({"seed": 0})
    assert restore.load_params(folder)[0] == 7 and verify.problems(folder / "7") == []
    move(folder / "7", folder / "8", copy=True)
    said = []
    assert restore.load_params(folder, warn=said.append)[0] == 7 and "its state is not that before step 8" in said[0]
    for name in ("9" * 12, "9" * 40):
        move(folder / "7", folder / name, copy=True)
        assert "renamed or copied" in verify.problems(folder / name)[0]


def test_a_manifest_that_cannot_be_read_is_said(tmp_path):
    run = train(tmp_path / "run", 1)
    run.manifest_json.write_text('{"run": {"id": 3, "configs": []}, "launches": []}')
    with pytest.raises(NoIntactCheckpoint):
        newest(run)
    with pytest.raises(ValueError, match="manifest.json: run.id is an integer, but text is expected"):
        identity.of(run.path)
