"""A record stays in its split wherever it stands and however it is written; by the rules of 0.1.0 as it was then."""

import csv
import json
import random

import pyarrow
import pyarrow.parquet
import pytest

from gen.data.conversations import open_conversations, open_prompts
from gen.data.corpora import open_corpus
from gen.data.folder import Folder
from gen.data.labelled import open_labelled
from gen.data.rankings import open_rankings
from gen.data.source import is_test
from tests.data.test_conversations import chat
from tests.data.test_folder import picture

OPENERS = {
    "chat": (open_conversations, lambda i: chat(f"u: {i}", "a: x")),
    "prompts": (open_prompts, lambda i: chat(f"u: {i}")),
    "preferences": (open_rankings, lambda i: chat(f"u: {i}") | {"chosen": "a", "rejected": "b"}),
    "labelled": (open_labelled, lambda i: {"text": f"text {i}", "label": "xy"[i % 2]}),
}
FORMS = ("jsonl", "json", "csv", "tsv", "parquet")


def write(path, rows, form):
    """Rows with a text each; what else they hold depends on where they stand."""
    if form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif form == "json":
        path.write_text(json.dumps(rows, indent=1))
    elif form == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]), delimiter="\t" if form == "tsv" else ",")
            table.writeheader()
            table.writerows(rows)


def changes(folder, rows, form):
    """Writes the rows of a folder in one way after the other."""
    path = folder / f"a.{form}"
    write(path, rows, form)
    yield "as they are"
    write(path, [rows[-1] | {"id": -1}, *rows], form)
    yield "one more at the top"
    write(path, random.Random(0).sample(rows, len(rows)), form)
    yield "in another order"
    path = path.rename(folder / f"z.{form}")
    yield "in a file of another name"
    write(path, rows[:20], form)
    write(folder / f"b.{form}", rows[20:], form)
    yield "in two files"
    (folder / f"b.{form}").unlink()
    path.unlink()
    write(folder / "a.jsonl", rows, "jsonl")
    yield "in another form"


def check_nothing_moves(ways, splits):
    first = None
    for way in ways:
        train, test = splits()
        assert train and test and not train & test, way
        first = first or (train, test)
        assert not first[0] & test and not first[1] & train, way


@pytest.mark.parametrize("form", FORMS)
def test_texts(tmp_path, form):
    def splits():
        opened = (open_corpus(f"text:{tmp_path}", split, test_fraction=0.3) for split in ("train", "test"))
        return [{one.text for one in corpus.documents()} for corpus in opened]

    rows = [{"text": f'a "text", {i}\nof two lines', "id": i} for i in range(40)]
    check_nothing_moves(changes(tmp_path, rows, form), splits)


@pytest.mark.parametrize("kind", OPENERS)
@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_entries(tmp_path, kind, form):
    opener, entry = OPENERS[kind]

    def splits():
        opened = (opener(f"{kind}:{tmp_path}", split, test_fraction=0.3) for split in ("train", "test"))
        return [{repr(one[1:]) for one in entries} for entries in opened]

    check_nothing_moves(changes(tmp_path, [entry(i) | {"id": i} for i in range(40)], form), splits)


def test_a_text_is_the_same_however_its_line_is_written(tmp_path):
    for number in range(9):
        lines = [f'{{"text": "caf\\u00e9 {number}", "id": 1}}\n', f'\ufeff{{"id":2,"text":"café {number}"}}  \r\n']
        (tmp_path / "a.jsonl").write_text("".join(lines), newline="")
        counts = [sum(1 for _ in documents(tmp_path, split)) for split in ("train", "test")]
        assert sorted(counts) == [0, 2]


def documents(place, split):
    corpus = open_corpus(f"text:{place}", split, test_fraction=0.5)
    if len(corpus):
        yield from corpus.documents()


def test_a_row_without_a_text_is_a_fault_of_both_splits(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"title": "two"}\n{"text": "three"}\n')
    for split in ("train", "test"):
        with pytest.raises(ValueError, match='a.jsonl:2: not a JSON object in UTF-8 with a text "text"'):
            list(open_corpus(f"text:{tmp_path}", split, test_fraction=0.5).documents())


def test_equal_rows_alone_cannot_be_divided(tmp_path):
    write(tmp_path / "a.jsonl", [chat("u: x", "a: y")] * 5, "jsonl")
    with pytest.raises(ValueError, match="all are equal, and equal records are in one split; add others"):
        for split in ("train", "test"):
            open_conversations(f"chat:{tmp_path}", split, test_fraction=0.5)


@pytest.mark.parametrize("kind", OPENERS)
def test_entries_by_position(tmp_path, kind):
    opener, entry = OPENERS[kind]
    write(tmp_path / "a.jsonl", [entry(i) for i in range(40)], "jsonl")
    test = opener(f"{kind}:{tmp_path}", "test", test_fraction=0.3, split_by="position")
    assert [one.name for one in test] == [f"a.jsonl:{i}" for i in range(1, 41) if is_test(f"a.jsonl:{i}", 0.3)]


def test_texts_by_position(tmp_path):
    write(tmp_path / "a.jsonl", [{"text": f"text {i}"} for i in range(40)], "jsonl")
    opened = {
        rule: open_corpus(f"text:{tmp_path}", "test", test_fraction=0.3, split_by=rule)
        for rule in ("position", "content")
    }
    test = [one.name for one in opened["position"].documents()]
    assert test == [f"a.jsonl:{i}" for i in range(1, 41) if is_test(f"a.jsonl:{i}", 0.3)]
    # which names the encoded texts in the cache; the first is that of 0.1.0
    assert opened["position"].fingerprint[:16] == "868c4f94374715c5"
    assert opened["content"].fingerprint != opened["position"].fingerprint


def test_whole_texts_go_by_name_and_keep_their_fingerprint(tmp_path):
    for i in range(20):
        (tmp_path / f"{i}.txt").write_text(f"text {i}")
    found = [open_corpus(f"text:{tmp_path}", "test", split_by=rule) for rule in ("position", "content")]
    assert [one.name for one in found[0].documents()] == [one.name for one in found[1].documents()]
    assert {one.fingerprint[:16] for one in found} == {"64ad8d4b5a231d20"}


def test_pictures(tmp_path):
    names = [f"more/{i}.png" for i in range(40)]
    for name in names:
        picture(tmp_path / name)
    spelled = [*names, *(f"./{name}" for name in names), *(name.replace("/", "//./") for name in names)]

    def ways():
        for seed in range(5):
            order = random.Random(seed).sample(spelled, len(spelled))
            write(tmp_path / "captions.jsonl", [{"image": name, "caption": "x"} for name in order], "jsonl")
            yield str(seed)

    def splits(**options):
        opened = (Folder(tmp_path, split, 0.3, **options) for split in ("train", "test"))
        return [
            {source[i]["name"].replace("./", "").replace("//", "/") for i in range(len(source))} for source in opened
        ]

    check_nothing_moves(ways(), splits)
    by_name = splits()
    with pytest.raises(AssertionError):
        check_nothing_moves(ways(), lambda: splits(split_by="spelling"))
    (tmp_path / "captions.jsonl").unlink()
    assert splits() == by_name == splits(split_by="spelling")  # the names of files have one spelling
