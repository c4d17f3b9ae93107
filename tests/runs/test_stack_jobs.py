"""Two jobs on one stack: the second is refused, and no stage is moved under the hands of a job that trains it."""

import json

import jax
import pytest

from gen import exit_codes, hosts
from gen.runs import config_file, reader, stack, train
from gen.training.run_dir import InUse, RunDir

CONFIG = "configs/unclip/digits.py:tiny"
RECORD = {"clip": {"run": "clip", "path": "../clip", "step": 2, "part": "params", "digest": "0123456789abcdef"}}


class Others:
    """Stands for the other processes of a run: says for them what `answers` has, and remembers what was asked and
    whether the stage was there then."""

    def __init__(self, place, **answers):
        self.place, self.answers, self.asked = place, answers, []

    def gather(self, what, value):
        self.asked.append((what, self.place.exists()))
        return self.answers.get(what) or [value, value]


@pytest.fixture
def stale(tmp_path, monkeypatch):
    """A stage that was trained on other weights than those that are there now."""
    place = tmp_path / "prior"
    place.mkdir()
    (place / "upstream.json").write_text(json.dumps(RECORD))
    monkeypatch.setattr(reader, "stale_upstream", lambda place: "clip" if place.exists() else None)
    return place


def test_a_second_job_is_refused(tmp_path, monkeypatch):
    trained_stages = []
    monkeypatch.setattr(train, "train", lambda stage, place: trained_stages.append(place.name) or exit_codes.DONE)
    data = train.with_overrides(config_file.load_config(CONFIG), [("mesh.data", "-1")])
    first = RunDir(tmp_path)
    first.take()
    with pytest.raises(InUse, match="is in use by another job; wait for it"):
        stack.train(data, tmp_path)
    assert not trained_stages and not (tmp_path / "stack.json").exists()
    first.release()
    for _ in range(2):  # it lets go at its end
        assert stack.train(data, tmp_path) == exit_codes.DONE
    assert trained_stages == 2 * ["clip", "prior", "decoder", "upsampler"]


def test_a_stage_that_another_job_trains_stays_where_it_is(stale):
    job = RunDir(stale)
    job.take()
    with pytest.raises(InUse):
        stack.set_aside_if_stale("prior", stale)
    assert stale.exists()
    job.release()
    stack.set_aside_if_stale("prior", stale)
    aside = stale.with_name("prior.stale-01234567")
    assert aside.is_dir() and not stale.exists()
    RunDir(aside).take()  # nobody holds what was moved


def test_a_stage_is_moved_when_all_have_looked(stale, monkeypatch):
    others = Others(stale)
    monkeypatch.setattr(hosts, "_tether", others)
    stack.set_aside_if_stale("prior", stale)
    assert others.asked == [("stale", True), ("set aside", False)]


def test_who_looks_when_it_is_moved_already_goes_by_what_process_0_saw(stale, monkeypatch):
    stale.rename(stale.with_name("moved"))
    others = Others(stale, stale=["clip", None])
    monkeypatch.setattr(hosts, "_tether", others)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    stack.set_aside_if_stale("prior", stale)
    assert [what for what, _ in others.asked] == ["stale", "set aside"]
