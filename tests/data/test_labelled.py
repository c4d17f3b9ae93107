"""Labelled texts: files and their faults, labels of both splits, and pieces of the standard library by file."""

import sysconfig
from collections import Counter
from pathlib import Path

import pytest

from gen.data.entries import split_key
from gen.data.labelled import Labelled, labels_of, open_labelled
from gen.data.source import is_test
from tests.data.test_conversations import write


def line(text: object, label: object) -> dict:
    return {"text": text, "label": label, "id": 7}


def test_files(tmp_path):
    path = write(tmp_path / "a.jsonl", *(line(f"text {i}", "even" if i % 2 == 0 else "odd") for i in range(80)))
    train, test = (open_labelled(f"labelled:{path}", split, test_fraction=0.3) for split in ("train", "test"))
    assert len(train) + len(test) == 80 and 10 < len(test) < 40 and labels_of(train) == ("even", "odd")
    for name, text, label in [*train, *test]:
        number = int(name.removeprefix("a.jsonl:")) - 1
        assert (text, label) == (f"text {number}", ("even", "odd")[number % 2])


def test_a_table(tmp_path):
    """As people export labelled texts."""
    path = tmp_path / "a.csv"
    path.write_text("Text;Label\n" + "".join(f'"text; {i}";{"xy"[i % 2]}\n' for i in range(9)))
    found = open_labelled(f"labelled:{path}", "train", test_fraction=0.0)
    assert found[3] == ("a.csv:5", "text; 3", "y") and len(found) == 9


def test_a_folder_that_is_divided_by_position_has_the_files_that_it_had(tmp_path):
    """As runs of version 0.1.0 read it: a table beside the lines would come twice, and into both splits."""
    write(tmp_path / "a.jsonl", *(line(f"text {i}", "xy"[i % 2]) for i in range(40)))
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"text {i},{'xy'[i % 2]}\n" for i in range(40)))
    count = lambda rule: sum(len(open_labelled(f"labelled:{tmp_path}", s, split_by=rule)) for s in ("train", "test"))
    assert (count("position"), count("content")) == (40, 80)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"text": "a"}, 'not an object with "text" and "label"'),
        (line(" \n", "a"), "the text is empty"),
        (line("a", ""), "the label is empty"),
        (line("a", 3), "the label must be a text, got int"),
        ("[", "the line is not JSON"),
    ],
)
def test_faults_have_places(tmp_path, entry, message):
    path = write(tmp_path / "a.jsonl", line("a", "x"), entry, line("b", "y"), entry)
    with pytest.raises(ValueError, match=f"has 2 faults; correct them\n{path}:2: {message}.*\n{path}:4: {message}"):
        open_labelled(f"labelled:{path}", "train")


def test_one_label_tells_nothing_apart(tmp_path):
    path = write(tmp_path / "a.jsonl", *[line("a", "x")] * 3)
    with pytest.raises(ValueError, match="the training split has the labels .x.; two or more are needed"):
        open_labelled(f"labelled:{path}", "train", test_fraction=0.0)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_label_of_the_test_split_alone(tmp_path, split):
    number = next(i for i in range(40) if is_test(split_key(Labelled("", f"text {i}", "z"), "content"), 0.3))
    name, label = f"a.jsonl:{number + 1}", lambda i: "z" if i == number else "xy"[i % 2]
    path = write(tmp_path / "a.jsonl", *(line(f"text {i}", label(i)) for i in range(40)))
    with pytest.raises(ValueError, match=rf"the label 'z' \({name}\) is in the test split alone"):
        open_labelled(f"labelled:{path}", split, test_fraction=0.3)


@pytest.fixture(scope="module")
def library():
    return {split: open_labelled("stdlib", split, pieces=60) for split in ("train", "test")}


def test_pieces_of_the_standard_library(library):
    folder = Path(sysconfig.get_path("stdlib"))
    labels = labels_of(library["train"])
    assert len(labels) == 8 and "asyncio" in labels and set(labels_of(library["test"])) <= set(labels)
    for split in library.values():
        assert max(Counter(text.label for text in split).values()) <= 60
        for name, text, label in list(split)[::20]:
            file, _, first = name.rpartition(":")
            lines = (folder / file).read_text(encoding="utf-8", errors="replace").split("\n")[int(first) - 1 :]
            assert file.startswith(f"{label}/") and 200 <= len(text.encode()) <= 400 and text.endswith("\n")
            assert file.startswith("encodings/") or text.split("\n")[:-1] == lines[: text.count("\n")]
    assert Counter(text.label for text in library["train"]) == dict.fromkeys(labels, 60)


def test_the_splits_share_no_file(library):
    train, test = ({text.name.rpartition(":")[0] for text in split} for split in library.values())
    assert train and test and not train & test
    assert library["train"].fingerprint == open_labelled("stdlib", "train", pieces=60).fingerprint


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("stdlib", {"packages": 1}, "use two packages or more"),
        ("stdlib", {"pieces": 0}, "use two packages or more, of one piece"),
        ("stdlib:x", {}, "write stdlib"),
        ("labelled", {}, "write labelled:PATH"),
        ("label:x", {}, "those that exist are labelled:PATH, stdlib"),
    ],
)
def test_wrong_requests(spec, options, message):
    with pytest.raises(ValueError, match=message):
        open_labelled(spec, "train", **options)
    with pytest.raises(ValueError, match="no split 'held_out'"):
        open_labelled("stdlib", "held_out")
