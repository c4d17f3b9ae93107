"""Nothing that a run writes goes through a link that lies in its directory; the directory itself may be one."""

import os

import jax.numpy as jnp
import pytest
import small

from gen import exit_codes, files
from gen.checkpoint.checkpointer import Checkpointer
from gen.files import CannotWrite, UnsafePath
from gen.runs import output
from gen.training.lock import Lock
from gen.training.metrics import Metrics
from gen.training.run_dir import RunDir


@pytest.fixture
def victim(tmp_path):
    """A file elsewhere that must stay as it is."""
    path = tmp_path / "victim"
    path.write_text("mine\n")
    yield path
    assert path.read_text() == "mine\n"


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run").mkdir()
    return RunDir(tmp_path / "run")


LINKS = {"symbolic": os.symlink, "hard": os.link}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
@pytest.mark.parametrize("name", ["file", "file.partial"])
def test_a_file_that_is_replaced(run, victim, link, name):
    """A hard link is undone, as the file gets a new one in its place."""
    link(victim, run.path / name)
    if link is os.symlink:
        with pytest.raises(UnsafePath, match=f"{name} is a symbolic link, which is not written through; remove it"):
            files.write_text(run.path / "file", "new")
    else:
        files.write_text(run.path / "file", "new")
        assert (run.path / "file").read_text() == "new"


@pytest.mark.parametrize("write", [lambda path: Metrics(path, 0), lambda path: files.append_text(path, "more\n")])
@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_a_file_that_grows(run, victim, write, link):
    link(victim, run.path / "metrics.jsonl")
    with pytest.raises(UnsafePath, match="link"):
        write(run.path / "metrics.jsonl")


def test_a_pipe_is_not_waited_for(run):
    os.mkfifo(run.path / "pipe")
    for write in (files.append, lambda path: files.write_text(path, "x")):
        with pytest.raises(UnsafePath, match="not a regular file"):
            write(run.path / "pipe")


@pytest.mark.parametrize("name", ["config.json", "manifest.json", "metrics.jsonl", "checkpoints", "samples"])
def test_the_parts_of_a_run_are_looked_at_before_anything_is_written(run, victim, name):
    target = victim if "." in name else victim.parent / "elsewhere"
    (victim.parent / "elsewhere").mkdir()
    (run.path / name).symlink_to(target)
    with pytest.raises(UnsafePath, match=f"{name} is a symbolic link"):
        run.claim({"seed": 0}, ())
    assert [path.name for path in run.path.iterdir()] == [name]
    assert list((victim.parent / "elsewhere").iterdir()) == []


def test_a_lock(run, victim):
    (run.path / "lock").symlink_to(victim)
    with pytest.raises(CannotWrite, match="symbolic links"), files.writing(run.path):
        Lock(run.path / "lock").take()


def test_checkpoints_and_what_is_beside_them(run, victim, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    run.checkpoints.symlink_to(outside)
    open_ = lambda: Checkpointer(run.checkpoints, every=1, keep=2, keep_every=None)
    with pytest.raises(UnsafePath, match="checkpoints is a symbolic link"):
        open_()
    assert list(outside.iterdir()) == []
    run.checkpoints.unlink()
    run.checkpoints.mkdir()
    # left-overs that lead elsewhere go, and what they lead to stays
    (run.checkpoints / "1.files.json.partial").symlink_to(victim)
    (run.checkpoints / "1.orbax-checkpoint-tmp").symlink_to(outside)
    (run.checkpoints / "1").symlink_to(outside)
    with open_() as checkpoints:
        checkpoints.save(1, {"w": jnp.ones(3)})
    assert list(outside.iterdir()) == [] and not (run.checkpoints / "1").is_symlink()


def test_a_folder_that_the_user_names_may_be_a_link_and_one_of_the_run_may_not(run, tmp_path):
    (tmp_path / "big").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "big")
    assert output.samples(str(tmp_path / "out"), run.path) == tmp_path / "out"
    run.samples.symlink_to(tmp_path / "big")
    with pytest.raises(UnsafePath, match="samples is a symbolic link"):
        output.samples(None, run.path)


def test_a_run_that_is_reached_through_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    assert small.train(small.Line(), small.config(), tmp_path / "run") == exit_codes.DONE
    assert (tmp_path / "disk" / "metrics.jsonl").exists()
