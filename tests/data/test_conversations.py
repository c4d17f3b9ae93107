"""Conversations from files: names, splits, order of turns, and every fault at its place; the built-in instructions."""

import gzip
import json

import pyarrow
import pyarrow.parquet
import pytest

from gen.data.conversations import open_conversations
from gen.data.instructions import instruction
from gen.tokenizers.template import Message


def chat(*turns: str) -> dict:
    """A line of a file: "u: Hi" is what the user says."""
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return {"messages": [{"role": roles[turn[0]], "content": turn[3:]} for turn in turns]}


def write(path, *entries):
    """A file of JSON lines; a text is a line as it is."""
    path.write_text("".join((e if isinstance(e, str) else json.dumps(e)) + "\n" for e in entries), encoding="utf-8")
    return path


def test_files_of_a_folder_in_order(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    write(tmp_path / "b.jsonl", chat("s: Be brief.", "u: é", "a: one"), "", chat("u: x", "a: two", "u: y"))
    write(tmp_path / "sub" / "a.jsonl", chat("u: x", "a:  three\n") | {"source": "elsewhere", "rating": 3})
    write(tmp_path / ".git" / "c.jsonl", "nothing")
    write(tmp_path / "readme.txt", "nothing")
    found = open_conversations(f"chat:{tmp_path}", "train", test_fraction=0.0)
    assert [one.name for one in found] == ["b.jsonl:1", "b.jsonl:3", "sub/a.jsonl:1"] and len(found) == 3
    assert found[0].messages == (Message("system", "Be brief."), Message("user", "é"), Message("assistant", "one"))
    assert found[2].messages[1].content == " three\n"  # as it is
    alone = open_conversations(f"chat:{tmp_path}/b.jsonl", "train", test_fraction=0.0)
    assert alone.entries == found.entries[:2] and alone.fingerprint != found.fingerprint


def test_rows_of_every_kind(tmp_path):
    """A list, lines by other names, compressed ones, Parquet; of a folder what has no conversations is left out."""
    one = chat("u: x", "a: y")
    (tmp_path / "a.json").write_text(json.dumps([one, chat("u: x", "a: z")], indent=1))
    write(tmp_path / "b.ndjson", one)
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(json.dumps(one).encode()))
    (tmp_path / "d.json").write_text(json.dumps(one), encoding="utf-16")
    pyarrow.parquet.write_table(pyarrow.table({"messages": [one["messages"]], "n": [1]}), tmp_path / "e.parquet")
    (tmp_path / "info.json").write_text(json.dumps({"version": 1}, indent=1))
    (tmp_path / "table.csv").write_text("name,size\na,1\n")
    write(tmp_path / "readme.txt", "nothing")
    found = open_conversations(f"chat:{tmp_path}", "train", test_fraction=0.0)
    assert [entry.name for entry in found] == [
        "a.json:1", "a.json:2", "b.ndjson:1", "c.jsonl.gz:1", "d.json:1", "e.parquet:0",
    ]  # fmt: skip
    assert all(entry.messages[0] == Message("user", "x") for entry in found)
    (note,) = found.notes
    assert "2 of 7 files are left out, the first info.json: its JSON is neither lines" in note
    for name, message in (
        ("info.json", 'info.json: its JSON is neither lines nor a list of objects with "messages"'),
        ("table.csv", "table.csv has no column 'messages'; name one so; it has the columns: name, size"),
    ):
        with pytest.raises(ValueError, match=message):
            open_conversations(f"chat:{tmp_path / name}", "train")


def test_each_is_in_one_split_whatever_becomes_of_the_others(tmp_path):
    def splits(count: int):
        path = write(tmp_path / "a.jsonl", *(chat(f"u: {i}", "a: x") for i in range(count)))
        return [open_conversations(f"chat:{path}", split, test_fraction=0.3) for split in ("train", "test")]

    train, test = splits(100)
    assert sorted([*train, *test]) == sorted(open_conversations(train.name[:-8], "train", test_fraction=0.0))
    assert 15 < len(test) < 45 and train.fingerprint != test.fingerprint
    assert set(test) <= set(splits(120)[1])


def test_content_makes_the_fingerprint(tmp_path):
    def fingerprint(*turns):
        path = write(tmp_path / "a.jsonl", chat(*turns))
        return open_conversations(f"chat:{path}", "train", test_fraction=0.0).fingerprint

    prints = {fingerprint(*turns) for turns in (("u: a", "a: b"), ("u: a", "a: c"), ("u: ab", "a: c"))}
    assert len(prints) == 3 and fingerprint("u: a", "a: b") in prints


FAULTS = [
    ("{", "the line is not JSON: Expecting property name.*; write one JSON object a line"),
    ("[1]", "the line is a list, but an object is expected"),
    ("[" * 100_000, "nested deeper than 64"),
    ({"message": []}, 'no "messages"'),
    ({"messages": []}, 'no "messages"'),
    ({"messages": ["Hi"]}, "message 1 must be .* got str"),
    (
        {"messages": [{"role": "human", "content": "x"}]},
        "has the role 'human'; the roles are system, user, as",
    ),
    ({"messages": [{"role": ["user"], "content": "x"}]}, r"message 1 has the role \['user'\]"),
    ({"messages": [{"role": "user"}]}, "the content of message 1 must be a text, got NoneType"),
    ({"messages": [{"role": "user", "content": ["x"]}]}, "the content of message 1 must be a text, got list"),
    (chat("u: x", "a: \n "), "the content of message 2 is empty"),
    ('{"messages": [{"role": "user", "content": "\\ud800"}]}', "the content of message 1 is not text in UTF-8"),
    (chat("u: x"), "the assistant says nothing"),
    (chat("s: x"), "the assistant says nothing"),
    (chat("a: x", "u: y"), "message 1 is of the role assistant; write one of system at the start"),
    (chat("s: x", "a: y"), "message 2 is of the role assistant"),
    (chat("u: x", "u: y", "a: z"), "message 2 is of the role user"),
    (chat("u: x", "a: y", "a: z"), "message 3 is of the role assistant"),
    (chat("u: x", "s: y", "a: z"), "message 2 is of the role system"),
]


def test_every_fault_has_its_place(tmp_path):
    path = tmp_path / "a.jsonl"
    write(path, chat("u: x", "a: y"), *(line for line, _ in FAULTS))
    with path.open("ab") as file:
        file.write(b'{"messages": [{"role": "user", "content": "\xff"}]}\n')
    with pytest.raises(ValueError, match=f"{path} has {len(FAULTS) + 1} faults; correct them") as raised:
        open_conversations(f"chat:{path}", "train")
    _, *shown = str(raised.value).splitlines()
    assert len(shown) == 20 and f"{path}:21: byte 0xff at character 44 is not UTF-8" in shown[-1]
    for number, (line, (_, message)) in enumerate(zip(shown, FAULTS, strict=False), 2):
        assert line.startswith(f"{path}:{number}: ")
        with pytest.raises(ValueError, match=message):
            raise ValueError(line)


def test_many_faults_are_counted(tmp_path):
    path = write(tmp_path / "a.jsonl", *["{"] * 33)
    with pytest.raises(ValueError, match="33 faults") as raised:
        open_conversations(f"chat:{path}", "train")
    assert str(raised.value).endswith("; write one JSON object a line\n... and 13 more")
    assert f"{path}:20: " in str(raised.value) and f"{path}:21: " not in str(raised.value)


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("chat", {}, "write chat:PATH"),
        ("chats:x", {}, r"no set of conversations 'chats:x' \(did you mean 'chat'\?\); .*chat:PATH, instructions"),
        ("chat:/nowhere", {}, "there is nothing in /nowhere"),
        ("chat:/nowhere", {"fraction": 0.1}, "its options are test_fraction"),
        ("instructions", {"count": 0}, "count=0 and held_out=500; use 1 or more"),
        ("instructions", {"mistakes": 1.5}, "mistakes is 1.5, expected a number from 0 to 1"),
        ("instructions:3", {}, "write instructions"),
    ],
)
def test_wrong_requests(spec, options, message):
    with pytest.raises(ValueError, match=message):
        open_conversations(spec, "train", **options)


def test_wrong_splits_and_empty_ones(tmp_path):
    path = write(tmp_path / "a.jsonl", chat("u: x", "a: y"))
    for spec in (f"chat:{path}", "instructions"):
        with pytest.raises(ValueError, match='no split \'held_out\'; its splits are "train" and "test"'):
            open_conversations(spec, "held_out")
    with pytest.raises(ValueError, match="the test split of 1 records is empty with data.options.test_fraction=0.0"):
        open_conversations(f"chat:{path}", "test", test_fraction=0.0)
    write(path, "", " ")
    with pytest.raises(ValueError, match="there is nothing in .*; expected JSON lines"):
        open_conversations(f"chat:{path}", "train")


def test_instructions_are_conversations():
    train = open_conversations("instructions", "train", count=30, seed=4)
    test = open_conversations("instructions", "test", held_out=20, seed=4)
    assert (len(train), len(test)) == (30, 20)
    for found, split in ((train, "train"), (test, "held_out")):
        for number, one in enumerate(found):
            expected = instruction(4, number, split)
            assert one.name == f"instruction {number}"
            assert one.messages == (Message("user", expected.prompt), Message("assistant", expected.answer))


def test_those_who_demonstrate_err_and_those_who_test_do_not():
    some = open_conversations("instructions", "train", count=300, mistakes=0.3)
    said = [one.messages[-1].content for one in some]
    known = [instruction(0, number, "train") for number in range(300)]
    assert 0.2 < sum(a != one.answer for a, one in zip(said, known, strict=True)) / 300 < 0.4
    assert all(a in (one.answer, one.wrong) for a, one in zip(said, known, strict=True))
    held_out = [open_conversations("instructions", "test", held_out=50, mistakes=share).entries for share in (0.0, 1.0)]
    assert held_out[0] == held_out[1]
