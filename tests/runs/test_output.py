"""Files that programs write: named by the user, new or the same request's, in places that were looked at before."""

import json
import os

import pytest

from gen.files import CannotWrite
from gen.pipelines import draw
from gen.runs import output, results
from gen.sample import png


def test_a_file_that_is_there_is_not_replaced_unless_it_is_asked_for(tmp_path):
    there = tmp_path / "thesis.txt"
    there.write_text("years of work")
    with pytest.raises(ValueError, match="--to=.*thesis.txt exists already; name another file, or give --overwrite"):
        output.file("--to", there, overwrite=False)
    assert output.file("--to", there, overwrite=True) == there
    assert output.file("--to", tmp_path / "new", overwrite=False) == tmp_path / "new"
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="exists already"):
        output.file("--to", tmp_path / "dangling", overwrite=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "thesis.txt"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_place_where_no_file_can_be_is_refused(tmp_path, overwrite):
    os.mkfifo(tmp_path / "fifo")
    for path, message in {
        tmp_path: "is a directory; name a file",
        tmp_path / "no" / "x": "no is not a directory; make it first",
        tmp_path / "fifo": "is not a regular file; name another" if overwrite else "exists already",
    }.items():
        with pytest.raises(ValueError, match=message):
            output.file("--out", path, overwrite)
    with pytest.raises(CannotWrite, match="cannot write to /proc"):
        output.file("--out", "/proc/x", overwrite)


def test_a_directory_is_tried_and_not_made(tmp_path):
    assert output.folder(tmp_path / "a" / "b") == tmp_path / "a" / "b" and not list(tmp_path.iterdir())
    for place in ("/proc/nothing", tmp_path / "file" / "x"):
        (tmp_path / "file").write_text("")
        with pytest.raises(CannotWrite, match=f"cannot write to {place}"):
            output.folder(output.Path(place))
        assert output.refusal(output.Path(place)).startswith(f"cannot write to {place}")
    assert output.refusal(tmp_path) is None


@pytest.mark.parametrize("text", ["years of work\n", "[1]\n", '{"other": 1}\n', "[" * 9999, '"text"'])
def test_lines_are_added_to_nothing_else(tmp_path, text):
    path = tmp_path / "texts.jsonl"
    assert output.appended(path, "text") == path and not path.exists()
    path.write_text('{"text": "a"}\n')
    assert output.appended(path, "text") == path
    path.write_text(text)
    with pytest.raises(ValueError, match="does not hold lines of JSON with 'text', so nothing is added to it"):
        output.appended(path, "text")
    assert path.read_text() == text


def test_pages_of_something_else_are_not_replaced(tmp_path):
    output.pages(tmp_path, ("index.html",), "sweep.json")
    (tmp_path / "index.html").write_text("my site")
    with pytest.raises(ValueError, match="index.html exists already, and is of something else; give another --workdir"):
        output.pages(tmp_path, ("table.csv", "index.html"), "sweep.json")
    (tmp_path / "sweep.json").write_text("{}")
    output.pages(tmp_path, ("index.html",), "sweep.json")


def picture(path, record):
    png.write(path, draw.np.zeros((2, 2, 3), draw.np.float32), record)


def test_pictures_of_another_request_get_another_name(tmp_path):
    record = {"prompt": "a two", "seed": 0, "num": 1, "batch": 1, "samplers": {"scale": 1}, "made_with": {"jax": "1"}}
    stem = draw.free_stem(tmp_path, "a-two-seed0", record)
    assert stem == tmp_path / "a-two-seed0"
    picture(tmp_path / "a-two-seed0-000.png", {"kind": "picture", "index": 0, **record})
    # the same pictures, more of them or made elsewhere
    for same in ({}, {"num": 4, "batch": 4}, {"made_with": {"jax": "2"}}):
        assert draw.free_stem(tmp_path, "a-two-seed0", {**record, **same}) == stem
    other = {**record, "samplers": {"scale": 4}}
    named = draw.free_stem(tmp_path, "a-two-seed0", other)
    assert named.name.startswith("a-two-seed0-") and draw.free_stem(tmp_path, "a-two-seed0", other) == named
    assert draw.free_stem(tmp_path, "a-two-seed0", {**record, "weights": {"digest": "0"}}) not in (stem, named)
    (tmp_path / "mine-000.png").write_bytes(b"a photo")
    assert draw.free_stem(tmp_path, "mine", record).name.startswith("mine-")
    (tmp_path / f"{named.name}-000.png").write_bytes(b"a photo")
    with pytest.raises(ValueError, match="is of something else; choose another --out"):
        draw.free_stem(tmp_path, "a-two-seed0", other)


NEW = {"step": 2, "digest": "ab", "metrics": {"loss": 1.0}}


def test_results_of_the_same_weights_come_together_and_others_are_kept(tmp_path, capsys):
    read = lambda name="evaluation.json": json.loads((tmp_path / name).read_text())
    results.open_place(tmp_path, None).keep({**NEW, "fewshot": {"all": 1}})
    results.open_place(tmp_path, None).keep({**NEW, "metrics": {"loss": float("nan")}})
    assert read() == {**NEW, "metrics": {"loss": "nan"}, "fewshot": {"all": 1}}
    results.open_place(tmp_path, None).keep({**NEW, "step": 3})
    assert read() == {**NEW, "step": 3} and read("evaluation.1.json")["fewshot"] == {"all": 1}
    assert "evaluation.json is of something else, and is kept as evaluation.1.json" in capsys.readouterr().out
    (tmp_path / "evaluation.json").write_text("my own notes")
    results.open_place(tmp_path, None).keep(NEW)
    assert (tmp_path / "evaluation.2.json").read_text() == "my own notes" and read() == NEW


def test_results_that_cannot_be_written_are_shown_alone(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    place = results.open_place(tmp_path / "file" / "run", None)  # as a directory that is read-only
    place.keep(NEW)
    (place.pictures / "curve.png").write_bytes(b"")  # what draws need not know
    place.tell()
    said = capsys.readouterr().out
    assert "note: cannot write to" in said and "shown here alone: give --out=DIR to keep them" in said
    with pytest.raises(CannotWrite):
        results.open_place(tmp_path, tmp_path / "file" / "out")
    out = results.open_place(tmp_path / "file" / "run", tmp_path / "out")
    out.keep(NEW)
    out.tell()
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text()) == NEW
