"""Conversations with a scripted writer and with a tiny model: history, room, ratings, stops, what compiles."""

import types

import pytest

from gen.sample.conversation import Conversation, Preference, Refused
from gen.sample.generator import Completion, Delta, Generator
from gen.sample.sampling_params import SamplingParams
from gen.tokenizers import Bytes
from gen.tokenizers.template import Message, Template
from tests.sample.lm import MODEL, placed

SHORT = Template(system="{content}|", user="{content}\n", assistant="> {content}{end}\n")


class Scripted(Generator):
    """Says what it is told to, letter by letter; "^C" is a person's Ctrl-C. Keeps what it was given."""

    def __init__(self, *answers, context=1000, reason="end"):
        self.tokenizer, self.model = Bytes(), types.SimpleNamespace(context=context)
        self.answers, self.reason, self.given, self.seeds = list(answers), reason, [], []

    def generate(self, prompts, *, show, new, seed, choice):
        (tokens,) = prompts
        assert tokens[0] == Bytes.start and len(tokens) < self.model.context
        self.given.append(Bytes().decode(tokens))
        self.seeds.append(seed)
        text = self.answers.pop(0)
        for letter in text.removesuffix("^C"):
            show(Delta(0, letter))
        if text.endswith("^C"):
            raise KeyboardInterrupt
        return [Completion("", text, Bytes().encode(text), [], self.reason)]


def talk(*answers, context=1000, reason="end", **how):
    writer = Scripted(*answers, context=context, reason=reason)
    return Conversation(writer, SHORT, **how), writer


def test_the_model_is_given_all_that_was_said():
    conversation, writer = talk("one", "two", "three", system="Be brief.")
    assert [conversation.say(text).text for text in ("a", "b")] == ["one", "two"]
    assert writer.given == ["Be brief.|a\n> ", "Be brief.|a\n> one\nb\n> "]
    asked = SHORT.ask([Message("system", "Be brief."), Message("user", "a"), Message("assistant", "one"),
                       Message("user", "b")], Bytes())  # fmt: skip
    assert conversation.tokens == asked and asked.count(Bytes.end) == 1
    conversation.undo()
    assert conversation.messages[-1] == ("assistant", "one")
    conversation.clear()
    conversation.say("c")
    assert writer.given[-1] == "Be brief.|c\n> "


def test_pieces_come_as_they_are_written():
    conversation, _ = talk("one", reason="length")
    shown = []
    answer = conversation.say("a", shown.append)
    assert shown == list("one") and answer == ("one", 3, "length", 0)


def test_another_answer_is_drawn_from_another_seed_and_comes_again_with_the_same():
    def seeds(seed):
        conversation, writer = talk("one", "two", "three", seed=seed)
        conversation.say("a")
        assert conversation.again().text == "two" and conversation.messages[-1].content == "two"
        conversation.say("b")
        assert writer.given == ["a\n> ", "a\n> ", "a\n> two\nb\n> "]
        return writer.seeds

    assert seeds(0) == seeds(0) and len({*seeds(0), *seeds(1)}) == 6


def test_the_oldest_exchanges_are_left_out_never_the_system_message():
    # an exchange has 11 tokens, "abcd\n> 12", an end and a new line; start and "S|" have 3, "abcd\n> " has 7
    conversation, writer = talk(*["12"] * 5, context=3 + 7 + 2 * 11 + 10, new=10, system="S")
    left_out = [conversation.say("abcd").left_out for _ in range(5)]
    assert left_out == [0, 0, 0, 1, 2]
    exchange = "abcd\n> 12\n"
    assert writer.given == [f"S|{exchange * n}abcd\n> " for n in (0, 1, 2, 2, 2)]
    assert len(conversation.messages) == 11
    tight, writer = talk(*["12"] * 3, context=3 + 7 + 2 * 11 + 9, new=10, system="S")
    assert [tight.say("abcd").left_out for _ in range(3)] == [0, 0, 1]


def test_a_new_that_is_longer_than_the_context_leaves_the_history_half_of_it():
    conversation, writer = talk("12", "12", context=40, new=1000)
    assert [conversation.say("abcd").left_out for _ in range(2)] == [0, 0]
    assert writer.given[1] == "abcd\n> 12\nabcd\n> "


def test_a_message_that_is_too_long_is_refused_and_the_conversation_goes_on():
    conversation, writer = talk("one", "two", context=30)
    conversation.say("a")
    before = conversation.messages
    with pytest.raises(Refused, match=r"has 30 tokens, which leaves no room in the model's context of 30; shorten it"):
        conversation.say("b" * 26)
    with pytest.raises(Refused, match="empty"):
        conversation.say(" \n")
    with pytest.raises(Refused, match="not UTF-8"):
        conversation.say("\udcff")
    assert conversation.messages == before
    assert conversation.say("b" * 25).left_out == 1


def test_a_system_message_that_could_not_work_is_refused_at_once():
    with pytest.raises(ValueError, match="the template with the system message has 31 tokens"):
        talk(system="s" * 26, context=31)
    with pytest.raises(ValueError, match="the system message is empty"):
        talk(system=" ")


@pytest.mark.parametrize("act", ["again", "undo", "tokens", "rate"])
def test_without_an_answer_there_is_nothing_to_do(act):
    conversation, _ = talk()
    with pytest.raises(Refused, match="there is no answer to .*; say something first"):
        conversation.tokens if act == "tokens" else getattr(conversation, act)(*[True] * (act == "rate"))


def test_what_was_said_before_a_stop_is_kept_and_nothing_else():
    conversation, writer = talk("on^C", "^C", "two", "^C", "thr^C")
    assert conversation.say("a")[:3] == ("on", 2, "stopped")
    before = conversation.messages
    with pytest.raises(KeyboardInterrupt):
        conversation.say("b")
    assert conversation.messages == before
    conversation.say("b")
    before = conversation.messages
    with pytest.raises(KeyboardInterrupt):
        conversation.again()
    assert conversation.messages == before
    assert conversation.again().text == "thr"
    assert writer.given[2:] == ["a\n> on\nb\n> "] * 3


def rated(*acts):
    """The preferences, as "chosen>rejected", after each act: an answer by its letter, anew, or "+" or "-"."""
    letters = [act for act in acts if act not in ("+", "-")]
    conversation, _ = talk(*letters)
    found = []
    for i, act in enumerate(acts):
        if act in ("+", "-"):
            preferences = conversation.rate(act == "+")
            assert all(p.messages == (Message("user", "q"),) for p in preferences)
            found.append(" ".join(f"{p.chosen}>{p.rejected}" for p in preferences))
        elif i == 0:
            conversation.say("q")
        else:
            conversation.again()
    return found


@pytest.mark.parametrize(
    ("acts", "preferences"),
    [
        ("A+", [""]),  # one answer, nothing to compare
        ("AB+", ["B>A"]),  # in place of another
        ("AB-", [""]),  # nobody said that the first is better
        ("A+B-", ["", "A>B"]),
        ("A-B+", ["", "B>A"]),
        ("A+B+", ["", ""]),
        ("A-B-", ["", ""]),
        ("ABC+", ["C>A C>B"]),
        ("AB+C+", ["B>A", "C>A"]),  # B was not found worse
        ("AB+C-", ["B>A", "B>C"]),
        ("A-B-C+", ["", "", "C>A C>B"]),
        ("AB++", ["B>A", ""]),  # each pair once
        ("AB+-", ["B>A", ""]),  # and not the other way round
        ("AA+", [""]),  # the same words are no other answer
        ("ABA+", ["A>B"]),
    ],
)
def test_ratings_become_preferences(acts, preferences):
    assert rated(*acts) == preferences


def test_empty_answers_are_not_compared():
    assert rated("A", "", "-") == [""] and rated("", "A", "+") == [""] and rated("A", "+", " ", "-") == ["", ""]


def test_answers_to_other_messages_are_not_compared_and_to_the_same_ones_they_are():
    conversation, _ = talk("A", "B", "C", "D")
    conversation.say("q")
    assert conversation.rate(True) == []
    conversation.say("q")  # behind the first exchange: another prompt
    assert conversation.rate(False) == []
    conversation.undo()
    conversation.undo()
    conversation.say("q")
    assert conversation.rate(False) == [Preference((Message("user", "q"),), "A", "C")]
    conversation.clear()
    conversation.say("q")
    assert conversation.rate(True) == [Preference((Message("user", "q"),), "D", "C")]


@pytest.fixture(scope="module")
def writer():
    params, mesh = placed()
    return Generator(params, MODEL, Bytes(), mesh)


def test_a_model_answers_as_its_writer_does(writer):
    greedy = SamplingParams(temperature=0.0)
    conversation = Conversation(writer, SHORT, new=6, choice=greedy)
    shown = []
    answer = conversation.say("ab", shown.append)
    (expected,) = writer.generate([SHORT.ask([Message("user", "ab")], Bytes())], new=6, choice=greedy)
    assert answer == (expected.text, len(expected.tokens), expected.reason, 0) and "".join(shown) == expected.text


def test_another_answer_differs_from_the_likeliest(writer):
    """At temperature 0 every try would give the same text."""
    conversation = Conversation(writer, SHORT, new=6, choice=SamplingParams(temperature=0.0))
    first = conversation.say("ab")
    others = [conversation.again() for _ in range(3)]
    assert any(other.text != first.text for other in others)
    conversation.undo()
    assert conversation.say("ab").text == first.text  # what is said next is the likeliest again


def test_nothing_compiles_again_while_lengths_stay_in_a_bucket(writer):
    sizes = lambda: (writer._begin._cache_size(), writer._advance._cache_size())
    conversation = Conversation(writer, SHORT, new=2, choice=SamplingParams(temperature=0.9), seed=3)
    conversation.say("ab")
    first = sizes()
    conversation.again()
    conversation.undo()
    conversation.say("abcdefg")
    assert sizes() == first
    conversation.say("abcd")  # the prompt has more than 16 tokens now
    assert sizes() != first
