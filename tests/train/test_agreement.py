"""What one process of several meets is met by all: a full disk, a damaged file; here the others are simulated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import hosts
from gen.train import restore
from gen.train.checkpoint import Checkpointer, SaveFailed

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


def test_an_error_of_another_is_raised_here(other):
    other(x=["process 1 has no room", None])
    with pytest.raises(OSError, match="process 1 has no room"):
        hosts.together("x", lambda: 3, OSError, ValueError)
    assert hosts.together("x", lambda: 3, OSError) == 3


def test_an_error_of_ones_own_is_told_and_raised(other):
    second = other()
    with pytest.raises(ValueError, match="mine"):
        hosts.together("x", lambda: int("mine"), OSError, ValueError)
    assert second.asked == ["x"]
    with pytest.raises(ZeroDivisionError):  # what nobody expected ends the process, and so the others
        hosts.together("x", lambda: 1 // 0, OSError)


def test_alone_nothing_is_asked_and_json_comes_back():
    assert hosts.gather("x", {"a": (1, 2)}) == [{"a": [1, 2]}] and not hosts.joined()
    assert hosts.first(lambda: 7) == 7


def test_a_disk_that_is_full_for_another_fails_the_save_here(other, tmp_path):
    said = []
    checkpoints = opened(tmp_path, said)
    other(room=["a checkpoint takes 9 MB and the disk has 1 MB left"] * 2)
    checkpoints.save(1, STATE)
    with pytest.raises(SaveFailed, match="9 MB and the disk has 1 MB left"):
        checkpoints.wait()
    assert restore.steps(checkpoints.directory) == []
    checkpoints.save(2, STATE)  # the next one is not swallowed
    checkpoints.close()
    assert restore.steps(checkpoints.directory) == [2] and "checkpoint 1 is lost" in said[1]


def test_a_commit_that_failed_for_another_is_no_commit(other, tmp_path):
    said = []
    checkpoints = opened(tmp_path, said)
    other(commit=["No space left on device"])
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
    other(check=["the file state/d/1 has changed since it was saved"])
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
