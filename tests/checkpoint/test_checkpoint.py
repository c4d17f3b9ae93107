"""When checkpoints are saved, which are kept, and that a save that fails is neither silent nor the end of the next."""

import functools
import shutil
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import files
from gen.checkpoint import restore, step_dir, verify
from gen.checkpoint.checkpointer import Checkpointer, SaveFailed
from gen.files import CannotWrite

STATE = {"w": jnp.arange(6.0)}


@pytest.fixture
def opened(tmp_path):
    """Opens a checkpointer on the same directory each time; what it warns of is in its `said`."""

    def open_(**kwargs):
        said = []
        rule = {"every": 1, "keep": 2, "keep_every": None} | kwargs
        checkpointer = Checkpointer(tmp_path / "checkpoints", warn=said.append, **rule)
        checkpointer.said = said
        return checkpointer

    return open_


def failing(monkeypatch, times):
    """Makes the next saves fail in the background, as a full disk does; counts the attempts."""
    attempts = []
    save_async = step_dir.save_async

    def sometimes(path, payload, timeout):
        attempts.append(int(path.name))
        wait = save_async(path, payload, timeout)

        def fail():
            wait()
            path.rename(path.with_name(path.name + ".orbax-checkpoint-tmp"))
            raise OSError("No space left on device")

        return fail if len(attempts) <= times else wait

    monkeypatch.setattr(step_dir, "save_async", sometimes)
    return attempts


def test_the_rules_of_saving_and_keeping(opened):
    c = opened(every=2, keep=2, keep_every=6)
    started = [step for step in range(1, 14) if c.save(step, STATE, force=step == 13)]
    c.close()
    assert started == [2, 4, 6, 8, 10, 12, 13]
    assert restore.steps(c.directory) == [6, 12, 13]
    assert sorted(p.name for p in c.directory.glob("*.json")) == ["12.files.json", "13.files.json", "6.files.json"]


def test_a_saved_or_restored_step_is_not_saved_again(opened):
    c = opened()
    assert c.save(3, STATE, extra_json={"note": [1, "a"]}) and not c.save(3, STATE, force=True)
    c.close()
    c = opened()
    assert c.restore(STATE)[0] == 3 and not c.save(3, STATE, force=True)
    assert c.extra(3) == {"note": [1, "a"]}
    c.close()


def test_the_state_may_be_donated_while_it_is_saved(opened):
    @functools.partial(jax.jit, donate_argnums=0)
    def train_step(x):
        return x * 1.5 + 1

    c = opened(keep=5)
    state, expected = jnp.zeros(1 << 20), []
    for step in range(5):
        expected.append(float(state[-1]))
        c.save(step, state)
        state = train_step(state)
    c.close()
    for step in range(5):
        assert np.all(np.asarray(restore.restore(c.directory, state, step)[1]) == np.float32(expected[step]))


def test_a_failed_save_is_reported_and_tried_again(opened, monkeypatch):
    attempts = failing(monkeypatch, times=1)
    c = opened()
    c.save(1, STATE)
    c.wait()
    assert attempts == [1, 1] and restore.steps(c.directory) == [1]
    assert len(c.said) == 1 and "checkpoint 1 failed and is tried again: No space left" in c.said[0]
    c.close()


def test_a_failed_save_does_not_swallow_the_next(opened, monkeypatch):
    attempts = failing(monkeypatch, times=1)
    c = opened()
    donated = {"w": jnp.arange(6.0)}
    c.save(1, donated)
    donated["w"].delete()  # as donation does: nothing is left to try again with
    assert c.save(2, STATE)
    c.close()
    assert attempts == [1, 2] and restore.steps(c.directory) == [2]
    assert "checkpoint 1 is lost" in c.said[0] and "nothing is saved yet" in c.said[0]
    assert not list(c.directory.glob("*tmp*"))


def test_the_last_save_must_be_on_disk(opened, monkeypatch):
    c = opened()
    c.save(1, STATE)
    c.wait()
    failing(monkeypatch, times=2)
    c.save(2, STATE)
    with pytest.raises(SaveFailed, match="No space left on device.*the last good one is 1"):
        c.close()
    assert restore.steps(c.directory) == [1]


def test_an_interrupt_does_not_wait_for_a_save_and_the_next_start_in_the_same_process_does(opened, monkeypatch):
    save_async, goes_on = step_dir.save_async, threading.Event()

    def slow(*args):
        wait = save_async(*args)

        def late():
            assert goes_on.wait(60)
            wait()

        return late

    monkeypatch.setattr(step_dir, "save_async", slow)
    with pytest.raises(KeyboardInterrupt), opened() as c:
        c.save(1, STATE)
        raise KeyboardInterrupt
    assert not goes_on.is_set()
    threading.Timer(0.2, goes_on.set).start()
    assert opened().restore(STATE)[0] == 1


def test_failing_again_and_again_ends_the_run(opened, monkeypatch):
    failing(monkeypatch, times=100)
    c = opened()
    c.save(1, STATE)
    c.save(2, STATE)
    c.save(3, STATE)
    with pytest.raises(SaveFailed, match="3 checkpoints in a row"):
        c.save(4, STATE)


def test_a_start_clears_what_a_crash_left(opened, tmp_path):
    directory = tmp_path / "checkpoints"
    for name in ("5.orbax-checkpoint-tmp", "4.removed"):
        (directory / name / "state").mkdir(parents=True)
    (directory / "3.files.json.partial").touch()
    assert not list(opened().directory.iterdir())


def test_a_damaged_step_is_replaced_and_does_not_count_as_kept(opened):
    c = opened()
    for step in (1, 2, 3):
        c.save(step, STATE)
    c.close()
    next((c.directory / "3").rglob("manifest.ocdbt")).unlink()
    c = opened()
    assert c.restore(STATE)[0] == 2 and "manifest.ocdbt is missing" in c.said[0]
    c.save(3, STATE)
    c.wait()
    assert opened().restore(STATE)[0] == 3
    next((c.directory / "3").rglob("manifest.ocdbt")).unlink()
    c = opened()
    c.restore(STATE)
    c.save(4, STATE, force=True)
    c.close()
    assert restore.steps(c.directory) == [2, 4]


def test_what_cannot_be_tidied_up_is_told_and_in_nobody_s_way(opened, tmp_path, monkeypatch):
    c = opened(keep=1)
    c.save(1, STATE)
    c.wait()
    (c.directory / "7.removed").mkdir()
    rmtree = shutil.rmtree

    def busy(path, *args, **kwargs):
        if Path(path).name == "7.removed":
            raise OSError(16, "Device or resource busy", str(path))
        return rmtree(path, *args, **kwargs)

    monkeypatch.setattr(shutil, "rmtree", busy)
    (c.directory / "1").rename(tmp_path / "elsewhere")
    (c.directory / "1").symlink_to(tmp_path / "elsewhere")
    for step in (2, 3):
        assert c.save(step, STATE)
    c.close()
    assert restore.steps(c.directory) == [3] and (tmp_path / "elsewhere").is_dir()
    assert {said.split(": ")[0] for said in c.said} == {
        f"{c.directory / '7.removed'} is left over and cannot be removed"
    }
    assert opened().restore(STATE)[0] == 3


def test_what_cannot_be_read_for_now_is_no_damage_and_stays(opened, monkeypatch):
    c = opened(keep=3)
    for step in (1, 2):
        c.save(step, STATE)
    c.close()
    monkeypatch.setattr(restore, "PAUSES", (0.0, 0.0))
    sha256, tries = files.sha256, []

    def exhausted(path):
        tries.append(path)
        raise OSError(24, "Too many open files", str(path))

    monkeypatch.setattr(files, "sha256", exhausted)
    c = opened()
    with pytest.raises(OSError, match="Too many open files"):
        c.restore(STATE)
    assert len(tries) == 3 and "tried again" in c.said[0]
    with pytest.raises(OSError, match="Too many open files"):
        verify.problems(c.directory / "2")
    monkeypatch.setattr(files, "sha256", sha256)
    assert c.restore(STATE)[0] == 2
    c.close()
    assert restore.steps(c.directory) == [1, 2]


def test_a_directory_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match="cannot write checkpoints to .*; make room, mend it or choose another"):
        Checkpointer(tmp_path / "file" / "checkpoints", every=1, keep=1, keep_every=None)
    with pytest.raises(ValueError, match="keep=0"):
        Checkpointer(tmp_path / "checkpoints", every=1, keep=0, keep_every=None)


def test_a_disk_without_room_is_told_before_anything_is_written(opened, monkeypatch):
    c = opened()
    c.save(1, STATE)
    c.wait()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    c.save(2, STATE)
    with pytest.raises(SaveFailed, match=r"the disk has 0.0 MB left\); the last good one is 1; make room"):
        c.close()
    assert restore.steps(c.directory) == [1]


def test_a_real_limit_on_file_size(tmp_path):
    """The operating system refuses the write; the good step survives and the next save goes through. The threads of
    Orbax and tensorstore print nothing, wherever the limit meets them."""
    program = """
        import resource, signal, sys
        from pathlib import Path
        import jax.numpy as jnp, numpy as np
        from gen.checkpoint import restore
        from gen.checkpoint.checkpointer import Checkpointer, SaveFailed
        from gen.hosts.quiet import quiet

        quiet()
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        state = jnp.asarray(np.random.default_rng(0).integers(0, 2**31, 50_000), jnp.int32)
        c = Checkpointer(Path(sys.argv[1]), every=1, keep=3, keep_every=None, warn=print)
        c.save(1, state)
        c.wait()
        for limit in (200, 50_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            c.save(2, state)
            try:
                c.wait()
            except SaveFailed as error:
                print("refused:", error)
        print(restore.steps(c.directory), restore.restore(c.directory, state)[0])
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        c.save(3, state)
        c.close()
        print(restore.steps(c.directory), restore.restore(c.directory, state)[0])
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "checkpoints")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for limit, said in (("200", lines[:3]), ("50,000", lines[3:6])):
        assert "is tried again" in said[0] and "is lost" in said[1] and "refused: cannot write" in said[2]
        assert all(
            f"(File too large: ulimit -f allows {limit} bytes a file); the last good one is 1" in x for x in said[1:]
        )
    assert lines[6:] == ["[1] 1", "[1, 3] 3"] and done.stderr == ""
