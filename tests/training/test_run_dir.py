"""A run directory keeps its config, refuses another, and remembers every launch."""

import errno
import fcntl
import json
import os
import socket
import stat
import subprocess
import sys

import pytest

from gen.files import CannotWrite
from gen.training import manifest
from gen.training.run_dir import InUse, OtherConfig, RunDir

CONFIG = {"seed": 0, "train": {"steps": 10, "batch_size": 4}, "log": {"every": 5}, "mesh": (2, 1)}
MAY_CHANGE = ("train.steps", "log")


@pytest.fixture
def run(tmp_path):
    run = RunDir(tmp_path / "a" / "run")
    run.claim(CONFIG, MAY_CHANGE)
    return run


def test_the_same_config_is_taken_again(run):
    run.claim(CONFIG, MAY_CHANGE)
    assert run.config() == CONFIG | {"mesh": [2, 1]}
    assert sorted(p.name for p in run.path.iterdir()) == ["config.json", "lock", "manifest.json"]


def test_another_config_is_refused_and_every_key_named(run):
    other = {"seed": 1, "train": {"steps": 99, "batch_size": 8}, "log": {"every": 5}, "mesh": (2, 1), "new": {"k": "v"}}
    with pytest.raises(OtherConfig) as error:
        run.claim(other, MAY_CHANGE)
    for part in (str(run.path), "seed was 0, now 1", "train.batch_size was 4, now 8", 'new.k was absent, now "v"'):
        assert part in str(error.value)
    assert "train.steps" not in str(error.value) and run.config()["seed"] == 0


def test_what_may_change_is_taken_up(run):
    run.claim(CONFIG | {"train": {"steps": 20, "batch_size": 4}, "log": {"every": 1, "more": True}}, MAY_CHANGE)
    assert run.config()["train"]["steps"] == 20 and run.config()["log"] == {"every": 1, "more": True}


def test_keys_that_have_come_since_mean_what_they_mean_when_nothing_is_said(run):
    later = CONFIG | {"lora": None, "freeze": ()}
    complete = lambda old: {"lora": None, "freeze": (), **old}
    run.claim(later, MAY_CHANGE, complete)
    assert run.config()["freeze"] == []
    with pytest.raises(OtherConfig, match="lora was null, now 4"):
        run.claim(later | {"lora": 4}, MAY_CHANGE, complete)


def test_a_name_that_only_begins_like_a_section_is_no_part_of_it(run):
    with pytest.raises(OtherConfig, match="logs.x was absent"):
        run.claim(CONFIG | {"logs": {"x": 1}}, MAY_CHANGE)


def test_emptied_sections_differ(run):
    with pytest.raises(OtherConfig, match="extra"):
        run.claim(CONFIG | {"extra": {}}, MAY_CHANGE)


def test_damaged_or_missing_config(run, tmp_path):
    with pytest.raises(ValueError, match="config.json does not exist; is .* the directory of a run"):
        RunDir(tmp_path).config()
    run.config_json.write_text("{")
    with pytest.raises(ValueError, match="config.json is not JSON"):
        run.claim(CONFIG, MAY_CHANGE)


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match="cannot write to .*/file/run: Not a directory; .* choose another directory"):
        RunDir(tmp_path / "file" / "run").claim(CONFIG, MAY_CHANGE)


def test_a_disk_that_is_full_is_one_sentence(run, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = run.config_json.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWrite, match=r"^cannot write to .*/config.json: No space left on device; make room, "):
        run.claim(CONFIG, MAY_CHANGE)
    with pytest.raises(CannotWrite, match=r"^cannot write to .*/manifest.json: No space left on device; make room, "):
        run.record_launch(manifest.launch({"data": 8}, CONFIG, "abc"))
    assert run.config_json.read_bytes() == before
    assert sorted(p.name for p in run.path.iterdir()) == ["config.json", "lock", "manifest.json"]


def test_a_file_is_where_its_directory_says_when_the_power_fails(run, monkeypatch):
    """What is fsynced: first the file, then, when it has its name, the directory."""
    synced = []
    fsync = os.fsync

    def record(file):
        is_directory = stat.S_ISDIR(os.fstat(file).st_mode)
        synced.append((is_directory, run.manifest_json.exists()))
        fsync(file)

    run.manifest_json.unlink()
    monkeypatch.setattr(os, "fsync", record)
    run.record_launch(manifest.launch({"data": 8}, CONFIG, "abc"))
    assert synced == [(False, False), (True, True)]


def test_a_run_that_is_not_set_up_has_no_config(tmp_path):
    """What its config alone would not tell is there before it."""
    run, seen = RunDir(tmp_path / "run"), []
    with pytest.raises(ZeroDivisionError):
        run.claim(CONFIG, MAY_CHANGE, before=lambda: seen.append(run.config_json.exists()) or 1 / 0)
    assert seen == [False] and not run.config_json.exists()


def test_a_second_job_is_refused_until_the_first_has_gone(run):
    second = RunDir(run.path)
    with pytest.raises(InUse, match="is in use by another job; wait for it, or choose another"):
        second.claim(CONFIG, MAY_CHANGE)
    run.record_launch(manifest.launch({"data": 8}, CONFIG, "abc"))
    last = f"the last that trained there was process {os.getpid()} on {socket.gethostname()}, started at .*; wait"
    with pytest.raises(InUse, match=last):
        second.claim(CONFIG, MAY_CHANGE)
    run.release()
    second.claim(CONFIG, MAY_CHANGE)
    second.release()


def test_a_lock_goes_with_the_process_that_held_it(run):
    run.release()
    program = (
        "import os, sys, pathlib; from gen.training.run_dir import RunDir; RunDir(pathlib.Path(sys.argv[1])).take()"
    )
    killed = "; os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", program + killed, str(run.path)], check=False)
    assert done.returncode == -9
    run.take()


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP], ids=errno.errorcode.get)
def test_a_file_system_without_locks_is_noted(tmp_path, monkeypatch, capsys, code):
    def refuse(file, how):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    for _ in range(2):  # and nothing stands in for it that a killed job would leave behind
        RunDir(tmp_path).claim(CONFIG, MAY_CHANGE)
    assert capsys.readouterr().out.count(f"note: the file system of {tmp_path} has no locks: see to it that") == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "lock", "manifest.json"]


def test_a_lock_over_nfs_says_in_its_own_way_that_it_is_taken(tmp_path, monkeypatch):
    def refuse(file, how):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(InUse):
        RunDir(tmp_path).claim(CONFIG, MAY_CHANGE)


def test_a_lock_that_leads_elsewhere_is_not_followed(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CannotWrite, match="cannot write to .*/run: Too many levels of symbolic links"):
        RunDir(tmp_path / "run").claim(CONFIG, MAY_CHANGE)
    assert not (tmp_path / "elsewhere").exists()


def test_each_launch_is_recorded(run):
    run.record_launch(manifest.launch({"data": 8}, CONFIG, "abc"))
    run.record_launch(manifest.launch({"data": 4}, CONFIG, "abc"))
    run.record_start(7)
    first, second = run.launches()
    assert second["start"] == 7 and "start" not in first and first["steps"] == 10
    assert first["mesh"] == {"data": 8} and second["mesh"] == {"data": 4}
    assert first["devices"]["count"] == 8 and first["process_count"] == 1 and first["data_fingerprint"] == "abc"
    assert "--xla_force_host_platform_device_count=8" in first["xla_flags"]
    assert first["versions"].keys() == {"python", *manifest.PACKAGES}
    assert len(first["lockfile_sha256"]) == 64
    json.dumps(first, allow_nan=False)


def test_what_bits_depend_on_and_has_changed():
    before = manifest.launch({"data": 8}, CONFIG, "abc")
    assert manifest.changed(before, manifest.launch({"data": 8}, CONFIG, "other data")) == []
    now = json.loads(json.dumps(before))
    now["versions"]["jax"], now["code"]["commit"], now["mesh"] = "0.0.1", "elsewhere", {"data": 4, "fsdp": 2}
    assert manifest.changed(before, now) == [
        "mesh/data was 8, is 4",
        "mesh/fsdp was None, is 2",
        f"versions/jax was {before['versions']['jax']}, is 0.0.1",
    ]


def git(root, *arguments):
    identity = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return subprocess.run(
        ["git", "-C", root, *arguments], env=os.environ | identity, capture_output=True, check=True, text=True
    ).stdout.strip()


def test_the_state_of_the_code(tmp_path):
    nowhere = {"commit": None, "dirty_sha256": None}
    assert manifest.code_state(tmp_path / "absent") == nowhere
    git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    assert manifest.code_state(tmp_path) == nowhere  # nothing is committed yet
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "first")
    clean = {"commit": git(tmp_path, "rev-parse", "HEAD"), "dirty_sha256": None}
    assert manifest.code_state(tmp_path) == clean
    seen = []
    for name, text in (("a", "2"), ("a", "3"), ("b", "1"), ("b", "2")):
        (tmp_path / name).write_text(text)
        seen.append(manifest.code_state(tmp_path)["dirty_sha256"])
    assert len(set(seen)) == 4 and None not in seen
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").unlink()
    assert manifest.code_state(tmp_path) == clean
