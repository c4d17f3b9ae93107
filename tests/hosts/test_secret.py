"""The secret of a launch: where it lies, who can read it, and that it goes with the meeting."""

import os
import stat
import threading
import time

import pytest

from gen import exit_codes
from gen.hosts import free_port, rendezvous, secret
from gen.hosts.process_spec import ProcessSpec, RendezvousError
from gen.hosts.secret import Shared

RECORD = {"config": "abc"}


@pytest.fixture
def shared(tmp_path):
    return Shared(tmp_path / "runs" / "lm", 1234)


def path(shared):
    return shared._path


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_only_its_owner_reads_it_and_only_while_they_meet(shared, umask):
    before = os.umask(umask)
    try:
        path(shared).parent.mkdir(parents=True, mode=0o700)
        path(shared).parent.chmod(0o700)
        with shared.laid() as key:
            found = os.lstat(path(shared))
            assert stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o600
            assert shared.read() == key and len(key) == secret.SIZE
            assert [one.name for one in path(shared).parent.iterdir()] == [".rendezvous-1234"]
    finally:
        os.umask(before)
    assert not list(path(shared).parent.iterdir())


def test_each_launch_has_another(shared):
    with shared.laid() as first:
        pass
    with shared.laid() as second:
        assert first != second


def test_what_a_killed_launch_left_is_replaced_and_not_removed_by_it(shared):
    earlier = shared.laid()
    first = earlier.__enter__()
    with shared.laid() as second:
        assert shared.read() == second != first
        earlier.__exit__(None, None, None)  # it comes to its end only now
        assert shared.read() == second


def test_old_files_of_other_ports_are_swept(shared, tmp_path):
    folder = path(shared).parent
    folder.mkdir(parents=True)
    for name, age in ((".rendezvous-1", 2 * secret.STALE), (".rendezvous-2", 60), ("metrics.jsonl", 2 * secret.STALE)):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - age,) * 2)
    with shared.laid():
        pass
    assert sorted(one.name for one in folder.iterdir()) == [".rendezvous-2", "metrics.jsonl"]


@pytest.mark.parametrize("name", [".rendezvous-1234", ".rendezvous-1234.partial"])
def test_a_link_in_its_place_is_not_followed(shared, tmp_path, name):
    victim = tmp_path / "victim"
    victim.write_text("kept")
    path(shared).parent.mkdir(parents=True)
    (path(shared).parent / name).symlink_to(victim)
    with shared.laid() as key:
        assert shared.read() == key and not path(shared).is_symlink()
    assert victim.read_text() == "kept" and victim.stat().st_mode & 0o777 == 0o644 & ~current_umask()


def current_umask():
    before = os.umask(0o022)
    os.umask(before)
    return before


def make_fifo(place, tmp_path):
    os.mkfifo(place)


def make_link(place, tmp_path):
    (tmp_path / "elsewhere").write_text("0" * 64)
    place.symlink_to(tmp_path / "elsewhere")


CONTENTS = {"nothing": b"", "half": b"0" * 32, "more": b"0" * 66, "no text": b"\xff" * 64, "a letter": b"g" + b"0" * 63}
OTHERS = {name: lambda place, tmp_path, data=data: place.write_bytes(data) for name, data in CONTENTS.items()}
MESSAGES = {"a fifo": "not a regular", "a directory": "not a regular", "a link": "is a symbolic link"}
OTHERS |= {"a fifo": make_fifo, "a link": make_link, "a directory": lambda place, tmp_path: place.mkdir()}


@pytest.mark.parametrize("what", OTHERS)
def test_what_is_no_secret_is_read_at_once_and_refused(shared, tmp_path, what):
    path(shared).parent.mkdir(parents=True)
    OTHERS[what](path(shared), tmp_path)
    with pytest.raises(OSError, match=rf"{path(shared)} .*{MESSAGES.get(what, 'does not hold a secret')}"):
        shared.read()


def test_a_launch_that_does_not_come_about_leaves_nothing(shared, tmp_path):
    with pytest.raises(KeyError), shared.laid():
        raise KeyError
    assert not list(tmp_path.iterdir())
    path(shared).parent.mkdir(parents=True)
    (path(shared).parent.parent / "other").touch()
    with pytest.raises(KeyError), shared.laid():
        raise KeyError
    assert path(shared).parent.is_dir()  # which it did not make


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    shared = Shared(tmp_path / "file" / "run", 1)
    with pytest.raises(
        RendezvousError, match=rf"cannot write {tmp_path}/file/run/.rendezvous-1, .*: Not a dir"
    ) as caught:
        shared.laid().__enter__()
    assert caught.value.status == exit_codes.FAILED and str(caught.value).endswith("that all of them see")


def test_a_file_system_without_permissions_is_noted(shared, monkeypatch, capsys):
    chmod = os.fchmod
    monkeypatch.setattr(os, "fchmod", lambda number, mode: chmod(number, 0o644))
    with shared.laid():
        assert capsys.readouterr().out.startswith(f"note: the file system of {path(shared)} keeps no permissions: ")


def test_one_that_is_given_comes_from_the_environment_alone(tmp_path):
    given = secret.find(tmp_path, 1, "x" * secret.LEAST)
    with given.laid() as key:
        assert key == given.read() == b"x" * secret.LEAST and not list(tmp_path.iterdir())
    assert "xxx" not in repr(given) + given.where
    with pytest.raises(ValueError, match="GEN_SECRET has 7 characters: give all .* the same 32 or more") as short:
        secret.find(tmp_path, 1, "hunter2")
    assert "hunter2" not in str(short.value)
    with pytest.raises(ValueError, match="need --workdir, a directory that all of them see, or GEN_SECRET"):
        secret.find(None, 1, None)


def test_a_proof_is_of_all_its_parts():
    key = b"k" * 32
    claim = secret.proof(key, "process", "a", {"x": 1.5, "y": [None]})
    assert secret.proves(claim, key, "process", "a", {"y": [None], "x": 1.5})
    for parts in (("process", "a"), ("processa", {"x": 1.5}), ("process", "a", {"x": 1.5, "y": []})):
        assert not secret.proves(claim, key, *parts)
    assert not secret.proves(claim, b"l" * 32, "process", "a", {"x": 1.5, "y": [None]})
    assert not secret.proves("", key) and not secret.proves("é", key)


def meet(directories, port, limit=10.0, delays=(0.0, 0.0)):
    """What two processes get, each with its own view of the directory, after their delays in seconds."""
    found = {}

    def come(i):
        time.sleep(delays[i])
        try:
            place = ProcessSpec(i, 2, f"127.0.0.1:{port}", "127.0.0.1")
            found[i] = rendezvous.connect(place, RECORD, Shared(directories[i], port), limit, heartbeat=5.0)
        except RendezvousError as error:
            found[i] = error

    threads = [threading.Thread(target=come, args=(i,)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for met in found.values():
        for line in getattr(met, "lines", {}).values():
            line.close()
    return found


def test_processes_meet_by_a_file_that_comes_late_in_place_of_an_old_one(tmp_path):
    port = free_port()
    (tmp_path / f".rendezvous-{port}").write_text("0" * 64)  # of a launch that was killed
    found = meet([tmp_path, tmp_path], port, delays=(0.5, 0.0))
    assert found[0].names == found[1].names and not list(tmp_path.iterdir())


def test_a_directory_that_is_not_shared_is_named(tmp_path):
    found = meet([tmp_path / "a", tmp_path / "b"], free_port(), limit=1.0)
    sentence = str(found[1])
    assert f"{tmp_path}/b/.rendezvous-" in sentence and "does not exist after 1 s; process 0 writes that" in sentence
    assert "is that the same directory on all hosts?" in sentence and "did not come within 1 s: 1" in str(found[0])
    assert {error.status for error in found.values()} == {exit_codes.LOST}
    assert not list(tmp_path.iterdir())


def test_two_launches_in_one_directory_do_not_disturb_each_other(tmp_path):
    ports, found = [free_port(), free_port()], {}
    come = lambda port: found.update({port: meet([tmp_path, tmp_path], port)})
    threads = [threading.Thread(target=come, args=(port,)) for port in ports]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(found[port][i].names) == 2 for port in ports for i in (0, 1))
