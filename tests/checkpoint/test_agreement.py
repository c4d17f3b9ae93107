"""What one process of several meets is met by all: a full disk, a damaged file; here the others are simulated."""

import shutil
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import launched
import numpy as np
import pytest

from gen import hosts
from gen.checkpoint import restore, step_dir
from gen.checkpoint.checkpointer import Checkpointer, SaveFailed

STATE = {"w": jnp.arange(6.0)}


class Other:
    """A second process, which says what `answers` has for a question, in turn, and otherwise the same as the first."""

    def __init__(self, **answers):
        self.answers = {what.replace("_", " "): list(said) for what, said in answers.items()}
        self.asked = []

    def gather(self, what, value):
        self.asked.append(what)
        return [value, self.answers[what].pop(0) if self.answers.get(what) else value]


@pytest.fixture
def other(monkeypatch):
    def join(**answers):
        second = Other(**answers)
        monkeypatch.setattr(hosts, "_tether", second)
        return second

    return join


def opened(tmp_path, said):
    return Checkpointer(tmp_path / "checkpoints", every=1, keep=9, keep_every=None, warn=said.append)


def failed(sentence, kind=0):
    """What a process tells the others of an error of one of the expected kinds."""
    return [False, kind, sentence]


@pytest.mark.parametrize(("kind", "raised"), [(0, OSError), (1, ValueError)])
def test_an_error_of_another_is_raised_here_and_is_of_its_kind(other, kind, raised):
    other(x=[failed("process 1 has no room", kind), None])
    with pytest.raises(raised, match="process 1 has no room"):
        hosts.all_or_raise("x", lambda: 3, OSError, ValueError)
    assert hosts.all_or_raise("x", lambda: 3, OSError) == 3


def test_who_waited_in_vain_tells_what_the_other_met(other):
    def wait():
        raise RuntimeError("Timeout waiting at barrier of the others")

    other(x=[failed("File too large")])
    with pytest.raises(OSError, match="File too large"):
        hosts.all_or_raise("x", wait, OSError, RuntimeError)


def test_an_error_of_ones_own_is_told_and_raised(other):
    second = other()
    with pytest.raises(ValueError, match="mine"):
        hosts.all_or_raise("x", lambda: int("mine"), OSError, ValueError)
    assert second.asked == ["x"]
    with pytest.raises(ZeroDivisionError):  # what nobody expected ends the process, and so the others
        hosts.all_or_raise("x", lambda: 1 // 0, OSError)


def test_alone_nothing_is_asked_and_json_comes_back():
    assert hosts.all_gather("x", {"a": (1, 2)}) == [{"a": [1, 2]}] and not hosts.joined()
    assert hosts.process_0_first(lambda: 7) == 7


def test_a_disk_that_is_full_for_another_fails_the_save_here(other, tmp_path):
    said = []
    checkpoints = opened(tmp_path, said)
    other(room=[failed("a checkpoint takes 9 MB and the disk has 1 MB left")] * 2)
    checkpoints.save(1, STATE)
    with pytest.raises(SaveFailed, match="9 MB and the disk has 1 MB left"):
        checkpoints.wait()
    assert restore.steps(checkpoints.directory) == []
    checkpoints.save(2, STATE)  # the next one is not swallowed
    checkpoints.close()
    assert restore.steps(checkpoints.directory) == [2] and "checkpoint 1 is lost" in said[1]


def test_room_is_asked_for_what_all_write(other, tmp_path, monkeypatch):
    """Each process alone would find room enough."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=30))
    said = []
    other(bytes=[24, 24])
    checkpoints = opened(tmp_path, said)
    checkpoints.save(1, STATE)
    with pytest.raises(SaveFailed, match="a checkpoint takes 0.0 MB and the disk has 0.0 MB left"):
        checkpoints.wait()


def test_what_fails_here_before_it_is_in_the_background_is_told_where_the_others_wait(other, tmp_path, monkeypatch):
    def fails(*_):
        raise MemoryError("no room for a copy")

    second, said = other(), []
    checkpoints = opened(tmp_path, said)
    monkeypatch.setattr(step_dir, "save_async", fails)
    checkpoints.save(1, STATE)
    with pytest.raises(SaveFailed, match="no room for a copy"):
        checkpoints.wait()
    assert second.asked.count("commit") == second.asked.count("make way") == 2


def test_a_commit_that_failed_for_another_is_no_commit(other, tmp_path):
    said = []
    checkpoints = opened(tmp_path, said)
    other(commit=[failed("No space left on device")])
    checkpoints.save(1, STATE)
    checkpoints.wait()  # tried again, while the state is there
    checkpoints.close()
    assert "saving checkpoint 1 failed and is tried again: No space left on device" in said[0]
    assert restore.steps(checkpoints.directory) == [1]


def test_what_another_finds_damaged_is_not_used_here(other, tmp_path):
    said = []
    checkpoints = opened(tmp_path, said)
    for step in (1, 2):
        checkpoints.save(step, {"w": STATE["w"] + step})
    checkpoints.wait()
    other(check=[failed("the file state/d/1 has changed since it was saved")])
    step, state = checkpoints.restore(STATE)
    assert step == 1 and np.asarray(state["w"]).tolist() == [1, 2, 3, 4, 5, 6]
    assert "2 is damaged and is not used: the file state/d/1 has changed" in said[0]
    checkpoints.close()


def test_process_0_says_which_steps_there_are(monkeypatch, tmp_path):
    """A file system may show an old directory to another host."""
    checkpoints = opened(tmp_path, [])
    for step in (1, 2):
        checkpoints.save(step, STATE)
    checkpoints.close()

    class First(Other):
        def gather(self, what, value):
            return [[1] if what == "steps" else value, value]

    monkeypatch.setattr(hosts, "_tether", First())
    assert restore.restore(checkpoints.directory, STATE)[0] == 1


def test_copies_of_an_array_that_differ_elsewhere_are_damage(other, tmp_path):
    said = []
    checkpoints = opened(tmp_path, said)
    checkpoints.save(1, STATE)
    checkpoints.wait()
    other(digests=[{"w": {"(0,)": "0" * 16}}])
    with pytest.raises(restore.NoIntactCheckpoint):
        checkpoints.restore(STATE)
    assert "the array w differs between processes" in said[0]
    checkpoints.close()
    assert jax.process_count() == 1


def test_a_save_that_fails_in_one_of_two_processes_is_lost_in_both_and_the_next_is_not(tmp_path):
    """Process 1 may write no large files; process 0 waits for it in Orbax, and is told why in the end."""
    code, said = launched.run(2, 1, "tests/checkpoint/limited.py", f"--workdir={tmp_path}")
    assert code == 0, said
    for process in (0, 1):
        assert f"[{process}] saving checkpoint 2 failed and is tried again: " in said
        (lost,) = [line for line in said.splitlines() if line.startswith(f"[{process}] failed: ")]
        assert "File too large" in lost and "the last good one is 1" in lost
        assert f"[{process}] steps [1, 3]" in said
