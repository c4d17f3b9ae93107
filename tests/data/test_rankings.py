"""Rankings from files: pairs, ties, what ranks nothing, and lines that a program writes and reads again."""

import pytest

from gen.data.rankings import open_rankings, to_line
from gen.tokenizers.template import Message
from tests.data.test_conversations import chat, write

HI = chat("u: Hi")
ASKED = (Message("user", "Hi"),)


def read(path, **options):
    return open_rankings(f"preferences:{path}", "train", test_fraction=0.0)


def test_pairs_and_ties(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        HI | {"chosen": "Hello", "rejected": "No", "by": "someone"},
        chat("s: x", "u: a", "a: b", "u: c") | {"ranked": ["1", ["2", "3"], "4"]},
        HI | {"ranked": [["a", "b"], ["c"]]},
    )
    pair, four, three = read(path)
    assert pair == ("a.jsonl:1", ASKED, ("Hello", "No"), (0, 1))
    assert (four.answers, four.ranks, len(four.messages)) == (("1", "2", "3", "4"), (0, 1, 1, 2), 4)
    assert (three.answers, three.ranks) == (("a", "b", "c"), (0, 0, 1))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"chosen": "a", "rejected": "b"}, 'no "messages"'),
        (HI, 'write either "chosen" and "rejected", or "ranked"'),
        (HI | {"chosen": "a"}, 'write either "chosen" and "rejected"'),
        (HI | {"chosen": "a", "rejected": "b", "ranked": ["a", "b"]}, 'write either "chosen" and "rejected"'),
        (HI | {"ranked": "ab"}, 'write either "chosen" and "rejected"'),
        (HI | {"chosen": "a", "rejected": "a"}, "the answer 'a' stands twice"),
        (HI | {"ranked": ["a", ["b", "a"]]}, "the answer 'a' stands twice"),
        (HI | {"ranked": [["a", "a"], "b"]}, "the answer 'a' stands twice"),
        (HI | {"ranked": []}, "nothing to prefer"),
        (HI | {"ranked": ["a"]}, "nothing to prefer"),
        (HI | {"ranked": [["a", "b"]]}, "nothing to prefer"),
        (HI | {"ranked": ["a", [], "b"]}, "a rank has no answers"),
        (HI | {"ranked": ["a", ["b", 3]]}, "answer 3 must be a text, got int"),
        (HI | {"ranked": ["a", [["b"]]]}, "answer 2 must be a text, got list"),
        (HI | {"chosen": "a", "rejected": " "}, "answer 2 is empty"),
        (HI | {"chosen": ["a"], "rejected": "b"}, "answer 1 must be a text, got list"),
        (chat("u: Hi", "a: b") | {"chosen": "a", "rejected": "b"}, "the messages end with the assistant's"),
        (chat("s: Hi") | {"chosen": "a", "rejected": "b"}, "the messages end with the system's"),
    ],
)
def test_what_is_no_ranking(tmp_path, entry, message):
    path = write(tmp_path / "a.jsonl", HI | {"chosen": "a", "rejected": "b"}, entry)
    with pytest.raises(ValueError, match=f"has 1 faults; correct them\n{path}:2: .*{message}"):
        read(path)


@pytest.mark.parametrize(
    ("answers", "ranks", "read_as"),
    [
        (("a", "b"), (0, 1), (("a", "b"), (0, 1))),
        (("a", "b\n\u2028 é\x85"), (7, -1), (("b\n\u2028 é\x85", "a"), (0, 1))),
        (("a", "b", "c"), (2, 1, 2), (("b", "a", "c"), (0, 1, 1))),
        (("a", "b", "c"), (0, 0, 5), (("a", "b", "c"), (0, 0, 1))),
    ],
)
def test_a_line_is_read_as_it_was_written(tmp_path, answers, ranks, read_as):
    messages = (Message("system", "{end}"), Message("user", 'say "é"\n'))
    line = to_line(messages, answers, ranks)
    assert line.endswith("\n") and line.count("\n") == 1
    path = tmp_path / "ratings.jsonl"
    for _ in range(2):
        with path.open("a") as file:
            file.write(line)
    one, two = read(path)
    assert (one.messages, (one.answers, one.ranks), two.name) == (messages, read_as, "ratings.jsonl:2")
    assert to_line(one.messages, one.answers, one.ranks) == line


@pytest.mark.parametrize(
    ("answers", "ranks", "message"),
    [
        (("a", "b"), (0,), "2 answers have 1 ranks"),
        (("a", "b"), (1, 1), "these answers are no ranking: all answers are equally good"),
        (("a", "a"), (0, 1), "'a' stands twice"),
        (("a", ""), (0, 1), "answer 2 is empty"),
        ((), (), "nothing to prefer"),
    ],
)
def test_a_line_that_could_not_be_read_is_not_written(answers, ranks, message):
    with pytest.raises(ValueError, match=message):
        to_line(ASKED, answers, ranks)


def test_splits(tmp_path):
    path = write(tmp_path / "a.jsonl", *(chat(f"u: {i}") | {"chosen": "a", "rejected": "b"} for i in range(60)))
    train, test = (open_rankings(f"preferences:{path}", split, test_fraction=0.3) for split in ("train", "test"))
    assert sorted([*train, *test]) == sorted(read(path)) and 5 < len(test) < 30
    assert train.fingerprint != test.fingerprint
    with pytest.raises(ValueError, match="write preferences:PATH"):
        open_rankings("preferences", "train")
