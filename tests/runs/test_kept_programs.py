"""Compiled programs that are kept between runs: where, for whom, and how much."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gen.runs import kept_programs

ROOT = Path(__file__).parents[2]
PROGRAM = """
import jax
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event) if event.endswith("/cache_hits") else None)
jax.jit(lambda x: jax.numpy.linalg.svd(x @ x))(jax.numpy.ones((9, 9)))
print(len(hits))
"""


@pytest.fixture
def unset(monkeypatch):
    monkeypatch.delenv(kept_programs.PLACE)
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")


def test_the_place_is_the_users_own(unset, tmp_path):
    place = kept_programs.keep(tmp_path)
    assert os.environ[kept_programs.PLACE] == str(place)
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (place, place.parent)} == {0o700}
    place.chmod(0o777)
    os.environ.pop(kept_programs.PLACE)
    kept_programs.keep(tmp_path)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


def test_a_place_that_the_user_has_set_is_left(tmp_path, monkeypatch):
    monkeypatch.setenv(kept_programs.PLACE, "elsewhere")
    assert kept_programs.keep(tmp_path) is None and not list(tmp_path.iterdir())


def test_without_room_nothing_is_kept_and_that_is_noted(unset, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert kept_programs.keep(tmp_path / "file") is None
    assert "compiled programs are not kept" in "".join(capsys.readouterr())
    assert kept_programs.PLACE not in os.environ


def test_what_was_read_longest_ago_goes_first(tmp_path):
    for age, name in enumerate("abc"):
        (tmp_path / name).write_bytes(b"x" * 10)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    kept_programs.prune(tmp_path, 20)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_program_is_found_by_the_next_process(unset, tmp_path):
    kept_programs.keep(tmp_path)
    line = [sys.executable, "-c", PROGRAM]
    hits = [int(subprocess.run(line, capture_output=True, text=True, check=True).stdout) for _ in range(2)]
    assert hits[0] == 0 < hits[1]
