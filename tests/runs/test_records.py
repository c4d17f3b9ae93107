"""Records that programs keep: what is missing, of another type, or leads elsewhere is said in a sentence."""

import json
import os

import pytest

from gen import exit_codes
from gen.jsonfile import NotReadable
from gen.pipelines.bulk import index
from gen.replay import record
from gen.runs import branch, class_names, reader, stack
from gen.sweep import packs, trial_status
from gen.sweep import sweep_dir as sweeps
from gen.training import data_skips
from gen.training.metrics import Metrics
from gen.training.run_dir import RunDir

DEEP = "[" * 100_000
WRONG = ["", "[]", "null", "3", '"text"', "{}", DEEP, '{"a": 1e400}', '{"a": "\\ud800"}', "\x00", '{"stages": ' + DEEP]
READERS = {
    "stack.json": stack.places,
    "upstream.json": reader.read_upstream,
    "ancestry.json": lambda place: branch._read(place / "ancestry.json"),
    "skips.json": data_skips.DataSkips,
    "labels.json": class_names.read,
    "manifest.json": lambda place: RunDir(place).launches(),
    "config.json": lambda place: RunDir(place).config(),
    "pack.json": lambda place: packs.members(place / "pack.json"),
    "sweep.json": lambda place: sweeps.check_free(sweeps.Sweep(place, "a.py", "sweep", [], {}, {})),
}


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_such_record_is_named(tmp_path, name):
    path = tmp_path / name
    for text in WRONG:
        path.write_text(text)
        if text == "{}" and name in ("upstream.json", "config.json"):
            READERS[name](tmp_path)
            continue
        with pytest.raises(NotReadable, match=name) as error:
            READERS[name](tmp_path)
        assert len(str(error.value)) < 400


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_or_a_device_is_not_read(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(NotReadable, match="is not a regular file"):
        READERS[name](tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(NotReadable, match="is not a regular file"):
        READERS[name](tmp_path)


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ([["clip", "../../elsewhere"]], "not under its name"),
        ([["../clip", "../clip"]], "not the name of a stage"),
        ([["clip", "clip"], ["clip", "clip"]], "there twice"),
        ([["clip", "/a\0b"]], "not the name of a stage"),
        ([["clip", "clip", "clip"]], "has 3 items, but 2 are expected"),
        ([], "has no stages"),
    ],
)
def test_stages_lie_where_a_stack_puts_them(tmp_path, stages, said):
    (tmp_path / "stack.json").write_text(json.dumps({"stages": stages}))
    with pytest.raises(NotReadable, match=said):
        stack.places(tmp_path)
    with pytest.raises(NotReadable, match=said):
        trial_status.outcome(tmp_path, "eval/loss", {})


def test_a_stage_elsewhere_is_where_its_run_is(tmp_path):
    (tmp_path / "stack.json").write_text(json.dumps({"stages": [["clip", "/runs/clip"], ["prior", "prior"]]}))
    assert {name: str(place) for name, place in stack.places(tmp_path).items()} == {
        "clip": "/runs/clip",
        "prior": str(tmp_path / "prior"),
    }


@pytest.mark.parametrize("skip", [{"at": -1}, {"batches": 0}, {"spike": 2**40}, {"at": 1.5}, {"at": None}])
def test_a_skip_that_no_run_has_made(tmp_path, skip):
    (tmp_path / "skips.json").write_text(json.dumps({"skips": [{"at": 1, "batches": 2, "spike": 1, **skip}]}))
    with pytest.raises(NotReadable, match="skips"):
        data_skips.DataSkips(tmp_path)


def test_a_branch_of_a_step_before_the_first(tmp_path):
    said = {"run": "../a", "step": -1, "digest": "0", "config": {}, "ancestry": None}
    (tmp_path / "ancestry.json").write_text(json.dumps(said))
    (tmp_path / "config.json").write_text("{}")  # without which it would be left of a command that failed
    with pytest.raises(NotReadable, match="names no step of another run"):
        branch.find(RunDir(tmp_path), None)


def test_a_record_of_many_generations_stays_readable():
    said = None
    for step in range(200):
        said = branch._kept({"run": "../a", "step": step, "digest": "0", "config": {}, "ancestry": said})
    steps = []
    while said is not None:
        steps.append(said["step"])
        said = said["ancestry"]
    assert steps == list(range(199, 199 - branch.GENERATIONS, -1))


def test_weights_that_come_from_the_run_itself(tmp_path):
    read = {"run": "base", "path": "../b", "step": 0, "part": "", "digest": "0"}
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "upstream.json").write_text(json.dumps({"base": {**read, "path": f"../{other}"}}))
    run = reader.Run(tmp_path / "b", cfg=None, readers=((tmp_path / "a").resolve(),))
    with pytest.raises(ValueError, match="leads back to"):
        _ = run.upstream


def test_the_id_of_a_trial_is_no_path(tmp_path):
    (tmp_path / "pack.json").write_text(json.dumps({"trials": {"../../../x": {}}}))
    with pytest.raises(NotReadable, match="is not the id of a trial"):
        packs.members(tmp_path / "pack.json")


@pytest.mark.parametrize("file", [3, "../x.png", "/etc/passwd", "a/b.png"])
def test_a_sample_lies_beside_its_list(tmp_path, file):
    (tmp_path / "samples.jsonl").write_text(json.dumps({"id": "a", "file": file}) + "\n")
    with pytest.raises(ValueError, match="line 1 is of something else; choose another --out"):
        index.lines(tmp_path / "samples.jsonl")


def test_a_record_nested_too_deep():
    with pytest.raises(NotReadable, match="gen did not write it"):
        record.parse(DEEP, "line 1")


def test_a_run_whose_log_is_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "metrics.jsonl")
    with pytest.raises(ValueError, match="not a regular file"):
        Metrics(tmp_path / "metrics.jsonl", 0)
    with pytest.raises(ValueError, match="not a regular file"):
        trial_status.outcome(tmp_path, "eval/loss", {})


def test_an_outcome_of_launches_that_lack_keys(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"launches": [{"status": exit_codes.DONE}]}))
    assert trial_status.outcome(tmp_path, "eval/loss", {"": 3}).state == "missing"
    assert trial_status.outcome(tmp_path, "eval/loss", {}).state == "done"
