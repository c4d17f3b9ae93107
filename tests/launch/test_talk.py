"""What a person types and sees: answers apart from notes, commands, ratings in a file, Ctrl-C."""

import io

import pytest

from gen.data.preferences import RankingDataConfig, RankingPipeline
from gen.data.rankings import open_rankings
from gen.tokenizers import Bytes
from launch.repl import COMMANDS, Ratings, Talk
from tests.sample.test_conversation import talk


@pytest.fixture
def chat(tmp_path, monkeypatch, capsys):
    """Types lines into a conversation whose model gives `answers`; returns what is on standard output and error."""

    def run(lines, *answers, terminal=False, path=tmp_path / "ratings.jsonl", **how):
        conversation, run.writer = talk(*answers, **how)
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        Talk(conversation, Ratings(path), terminal).run()
        return capsys.readouterr()

    return run


def rankings(tmp_path):
    """(messages, answers) of each line, as training reads it."""
    found = open_rankings(f"preferences:{tmp_path}/ratings.jsonl", "train", test_fraction=0.0)
    assert all(one.ranks == (0, 1) for one in found)
    return [([message.content for message in one.messages], *one.answers) for one in found]


def test_a_pipe_gets_the_answers_alone(chat):
    out, err = chat("Hi\n\n  you?\n", "Hello", "Fine\x1b")
    assert (out, err) == ("Hello\nFine\x1b\n", "")
    assert chat.writer.given[1] == "Hi\n> Hello\nyou?\n> "


def test_a_person_is_asked_for_lines_and_control_characters_are_harmless(chat):
    out, _ = chat("Hi\n", "Hel\x1blo", terminal=True)
    assert out == "> Hel␛lo\n> \n"


def test_ratings_are_what_training_reads(chat, tmp_path):
    out, err = chat("Hi\n/up\n/again\n/down\nyou?\n/again\n/again\n/up\n/up\n", "one", "two", "A", "B", "C", system="S")
    assert out == "one\ntwo\nA\nB\nC\n"
    asked = ["S", "Hi", "two", "you?"]
    assert rankings(tmp_path) == [(["S", "Hi"], "one", "two"), (asked, "C", "A"), (asked, "C", "B")]
    path = str(tmp_path / "ratings.jsonl")
    assert err.splitlines() == [
        "rated up",
        f"rated down, 1 preference added to {path}",
        f"rated up, 2 preferences added to {path}",
        "rated up",
    ]
    pipeline = RankingPipeline(RankingDataConfig(f"preferences:{path}", {"test_fraction": 0.0}), Bytes(), 64)
    assert pipeline.train(3).batch(0)["rank"].tolist() == [[0, 1]] * 3 and not pipeline.notes


def test_a_second_conversation_adds_to_the_file_behind_an_unfinished_line(chat, tmp_path):
    chat("Hi\n/again\n/up\n", "A", "B")
    path = tmp_path / "ratings.jsonl"
    path.write_text(path.read_text().rstrip("\n"))
    chat("Hi\n/again\n/up\n", "C", "D")
    assert rankings(tmp_path) == [(["Hi"], "B", "A"), (["Hi"], "D", "C")]


def test_a_file_that_cannot_be_written_is_told_and_tried_again(chat, tmp_path, monkeypatch):
    out, err = chat("Hi\n/again\n/up\nyou?\n", "A", "B", "C", path=tmp_path / "no" / "ratings.jsonl")
    assert out.endswith("C\n") and "cannot write" in err and "No such file or directory" in err
    assert len(err.splitlines()) == 1

    ratings = Ratings(tmp_path / "ratings.jsonl")
    conversation, _ = talk("A", "B", "C")
    conversation.say("q"), conversation.again()
    monkeypatch.setattr(ratings, "path", tmp_path)  # a directory
    with pytest.raises(OSError):
        ratings.add(conversation.rate(True))
    conversation.again()
    monkeypatch.setattr(ratings, "path", tmp_path / "ratings.jsonl")
    assert ratings.add(conversation.rate(False)) == 2
    assert rankings(tmp_path) == [(["q"], "B", "A"), (["q"], "B", "C")]


def test_what_no_ranking_can_hold_is_told(chat, tmp_path):
    _, err = chat("Hi\nyou?\n/again\n/up\n", "", "A", "B")
    empty, refused = err.splitlines()
    assert empty == "(an empty answer; preferences leave it out)"
    assert refused.startswith("not written: these answers are no ranking: the content of message 2 is empty")
    assert not (tmp_path / "ratings.jsonl").exists()


def test_notes_of_answers_that_were_cut_repeated_or_without_their_history(chat):
    _, err = chat("Hi\n/again\n", "abc", "abc", reason="length")
    same = "(the same as before; raise --sampler.temperature for others)"
    assert err.splitlines() == ["(cut at 3 tokens)", "(cut at 3 tokens)", same]
    _, err = chat("abcd\n" * 5 + "/again\n", *["12"] * 5, "34", context=40, new=10)
    notes = [f"(the oldest {left} no longer fit the model's context and were left out)"
             for left in ("1 exchange", "2 exchanges")]  # fmt: skip
    assert err.splitlines() == notes


def test_commands(chat):
    lines = "/up\n/undo\nHi\nyou?\n/undo\n/show\n/new\nHo\n/show\n/help\n/quit\nnever\n"
    out, err = chat(lines, "A", "B", "C", system="S")
    assert out.startswith("A\nB\n⟨start⟩S|Hi\n> \nC\n⟨start⟩S|Ho\n> \n")
    assert all(name in out for name in COMMANDS) and "never" not in "".join(chat.writer.given)
    assert err.splitlines() == [
        "there is no answer to rate; say something first",
        "there is no answer to take back; say something first",
        "took back the last message and its answer",
        "a new conversation",
    ]


@pytest.mark.parametrize(("line", "nearest"), [("/agian", "/again"), ("/up please", "/up"), ("/downn", "/down")])
def test_a_command_that_does_not_exist_is_answered_with_the_nearest(chat, line, nearest):
    out, err = chat(f"{line}\n {line}\n", "A")
    assert err == f"there is no command {line!r}; did you mean {nearest!r}? (a message may begin with a space)\n"
    assert out == "A\n" and chat.writer.given == [f"{line}\n> "]


def test_a_message_that_is_too_long_does_not_end_the_conversation(chat):
    out, err = chat(f"{'x' * 40}\nHi\n", "A", context=30)
    assert out == "A\n" and "leaves no room in the model's context of 30; shorten it" in err


def type_in(monkeypatch, *lines):
    """Lines as a person types them; None is Ctrl-C. Returns those that were not asked for."""
    left = list(lines)

    def read(prompt):
        if not left:
            raise EOFError
        if (line := left.pop(0)) is None:
            raise KeyboardInterrupt
        return line

    monkeypatch.setattr("builtins.input", read)
    return left


@pytest.mark.parametrize(
    ("lines", "answers", "left"),
    [
        (["Hi", None, "more"], ["on^C"], 1),  # the second Ctrl-C in a row leaves
        (["Hi", None, "more"], ["^C"], 1),
        ([None, None, "more"], [], 1),
        (["Hi", None, "more", None, "x"], ["A", "B", "C"], 0),  # one alone does not
        (["Hi", "more", None, "x"], ["on^C", "B", "C"], 0),
    ],
)
def test_the_second_of_two_stops_leaves(monkeypatch, capsys, tmp_path, lines, answers, left):
    conversation, _ = talk(*answers)
    unread = type_in(monkeypatch, *lines)
    Talk(conversation, Ratings(tmp_path / "r"), False).run()
    assert len(unread) == left
    said = [message.content for message in conversation.messages if message.role == "assistant"]
    assert said == [answer.removesuffix("^C") for answer in answers if answer != "^C"]


def test_a_stopped_answer_is_marked(chat):
    out, err = chat("Hi\nyou?\n", "on^C", "^C")
    assert out == "on\n" and err.splitlines() == ["(stopped)", "(stopped before a word was said)"]
