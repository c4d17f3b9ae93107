"""The count of damaged files in metrics.jsonl: files and not reads, the same over processes, resumes and rewinds."""

import numpy as np
import pytest
import small

from gen import exit_codes, hosts
from gen.checkpoint import checksums
from gen.data import record_reader
from gen.jsonfile import NotReadable
from gen.training import damage, metrics
from gen.training.damage import METRIC, Damage

MET = {0: [7], 1: [], 2: [3, 7], 3: [3], 4: [11], 5: [7, 12], 6: [99]}  # {position: damaged records}
SOFAR = [1, 1, 2, 2, 3, 4]


class Holes:
    """Data of which some records are damaged; it is read ahead by one position."""

    def __init__(self, data):
        self.data, self.damage = data, record_reader.ReplacementLog()

    def batch(self, position, rows):
        for at in (position, position + 1):
            for record in MET.get(at, []):
                self.damage.add(record, f"record {record}", at)
        return self.data.batch(position, rows)


def line(directory, data, **sections):
    return small.train(small.Line(), small.config(**sections), directory, data=data)


def noise():
    return small.Noise(small.Line(), 8)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "finished"
    assert line(directory, Holes(noise())) == exit_codes.DONE
    return directory


def test_files_are_counted_and_not_reads(finished):
    rows = [row for row in metrics.read(finished / "metrics.jsonl") if "loss" in row]
    assert [row[METRIC] for row in rows] == SOFAR
    assert checksums.read(finished / "checkpoints" / "4").extra["damaged"] == [3, 7]


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("every", [1, 4])
def test_a_run_that_is_resumed_counts_as_one_that_was_not(finished, tmp_path, at, every):
    sections = {"log": {"every": every}}
    assert line(tmp_path / "whole", Holes(noise()), **sections) == exit_codes.DONE
    assert line(tmp_path / "run", Holes(small.Stop(noise(), at)), **sections) == exit_codes.PREEMPTED
    assert line(tmp_path / "run", Holes(noise()), **sections) == exit_codes.DONE
    assert small.left(tmp_path / "run").metrics == small.left(tmp_path / "whole").metrics
    if every == 1:
        assert small.left(tmp_path / "run").metrics == small.left(finished).metrics


def test_data_without_damage_says_nothing_of_it(tmp_path):
    assert line(tmp_path / "run", noise(), train={"steps": 2}) == exit_codes.DONE
    assert METRIC not in (tmp_path / "run" / "metrics.jsonl").read_text()
    assert "damaged" not in checksums.read(tmp_path / "run" / "checkpoints" / "2").extra


def test_what_several_processes_met_is_one_set(monkeypatch):
    """Each reads its own rows; one file may be met by two."""
    others = iter([[3, 5], [8]])
    monkeypatch.setattr(hosts, "all_gather", lambda what, value: [value, next(others)])
    count = Damage({0: [3], 1: [4]}.get)
    count.stepped(0)
    assert count.metrics() == {METRIC: 2}
    count.stepped(1)
    assert count.extra() == {"damaged": [3, 4, 5, 8]}


def test_held_out_files_are_counted_with_each_evaluation():
    data = Holes(small.Noise(small.Line(), 8, seed=1))
    assert damage.held_out(data) == {} == damage.held_out(noise())
    for _ in range(2):
        data.batch(2, np.arange(8))
        assert damage.held_out(data) == {METRIC: 2}


def test_a_checkpoint_that_says_something_else_is_refused():
    with pytest.raises(NotReadable, match=r"the damaged records of a checkpoint: \[0\] is text"):
        damage.of(noise(), {"damaged": ["x"]})
