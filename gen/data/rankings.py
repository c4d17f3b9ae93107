"""Answers that a person has put in order, the best first, and one door to them.

    preferences:PATH    JSON lines, one ranking each                options test_fraction, split_by, held_out
    instructions        the right answer above a wrong one          options count, held_out, seed

`held_out` of files is a file of its own for the test split; without one, `split_by` is "content", of the ranking, or
"position", of file and line, as in version 0.1.0.

The lines of a file, in which further keys are ignored; answers in an inner list are equally good:

    {"messages": [{"role": "user", "content": "Hi"}], "chosen": "Hello", "rejected": "No"}
    {"messages": [{"role": "user", "content": "Hi"}], "ranked": ["Hello", ["Yes?", "What?"], "No"]}

    ranking = open_rankings("preferences:/data/pairs.jsonl", "train")[0]
    ranking.answers, ranking.ranks                                          # ("Hello", "No"), (0, 1)

A program that collects ratings appends `to_line(messages, answers, ranks)` to such a file.
"""

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gen.data.conversations import parse_messages
from gen.data.entries import InMemoryDataset, checked_text, divided, read_rows
from gen.data.faults import ParseError
from gen.data.instructions import Instruction, instructions
from gen.data.kinds import SourceKind, open_kind
from gen.data.source import RowRule
from gen.messages import short
from gen.tokenizers.template import Message


class Ranking(NamedTuple):
    """Different answers to `messages`, which end with a user's; equal `ranks` are equally good, 0 is the best."""

    name: str  # "pairs.jsonl:7"
    messages: tuple[Message, ...]
    answers: tuple[str, ...]
    ranks: tuple[int, ...]


def open_rankings(spec: str, split: str, **options) -> InMemoryDataset[Ranking]:
    """The rankings that `spec` names, as in the table above, of the split "train" or "test".

    Raises ValueError when a kind, option or place is unknown or missing, and for all faults of files at once.
    """
    return open_kind(KINDS, "set of rankings", spec, (split,), options)


def to_line(messages: Sequence[Message], answers: Sequence[str], ranks: Sequence[int]) -> str:
    """A line of a file of rankings, with its new line; lower `ranks` are better, equal ones equally good.

    Raises ValueError for what such a file could not be read with.
    """
    if len(answers) != len(ranks):
        raise ValueError(f"{len(answers)} answers have {len(ranks)} ranks; give each answer one")
    ordered = sorted(zip(ranks, answers, strict=True), key=lambda pair: pair[0])
    tied = [[answer for _, answer in pairs] for _, pairs in itertools.groupby(ordered, key=lambda pair: pair[0])]
    entry: dict[str, Any] = {"messages": [message._asdict() for message in messages]}
    if [len(answers) for answers in tied] == [1, 1]:
        entry |= {"chosen": tied[0][0], "rejected": tied[1][0]}
    else:
        entry["ranked"] = [answers[0] if len(answers) == 1 else answers for answers in tied]
    try:
        _ranking("", entry)
    except ParseError as fault:
        raise ValueError(f"these answers are no ranking{fault}") from fault
    return json.dumps(entry) + "\n"


def _ranking(name: str, entry: Mapping[str, Any]) -> Ranking:
    messages = parse_messages(entry)
    if messages[-1].role != "user":
        raise ParseError(
            f": the messages end with the {messages[-1].role}'s; end them with the user's that is answered"
        )
    ranked = [(rank, answer) for rank, tied in enumerate(_tied(entry)) for answer in tied]
    ranks, answers = zip(*ranked, strict=True) if ranked else ((), ())
    for number, answer in enumerate(answers, 1):
        checked_text(answer, f"answer {number}")
    if twice := next((answer for answer in answers if answers.count(answer) > 1), None):
        raise ParseError(f": the answer {short(twice)} stands twice; keep one")
    if not ranks or ranks[-1] == 0:
        raise ParseError(": all answers are equally good, so there is nothing to prefer; rank two or more")
    return Ranking(name, messages, answers, ranks)


def _tied(entry: Mapping[str, Any]) -> list[list[Any]]:
    """The answers of each rank, as written."""
    pair, ranked = [entry[key] for key in ("chosen", "rejected") if key in entry], entry.get("ranked")
    if len(pair) == 2 and "ranked" not in entry:
        return [[answer] for answer in pair]
    if pair or not isinstance(ranked, list):
        raise ParseError(': write either "chosen" and "rejected", or "ranked", a list of answers from best to worst')
    if [] in ranked:
        raise ParseError(": a rank has no answers; remove it")
    return [tied if isinstance(tied, list) else [tied] for tied in ranked]


def _preferences(
    place: str, split: str, test_fraction: float = 0.05, held_out: str = "", split_by: RowRule = "content"
) -> InMemoryDataset[Ranking]:
    if not held_out:
        rankings = read_rows(place, "messages", _ranking, split_by)
        return divided(rankings, f"preferences:{place}", split, test_fraction, split_by)
    if split not in ("train", "test"):
        raise ValueError(f'preferences:{place} has no split {split!r}; its splits are "train" and "test"')
    file = place if split == "train" else held_out
    return dataclasses.replace(read_rows(file, "messages", _ranking, split_by), name=f"preferences:{file} ({split})")


def _instructions(
    place: str, split: str, count: int = 2000, held_out: int = 500, seed: int = 0
) -> InMemoryDataset[Ranking]:
    def ranking(name: str, one: Instruction) -> Ranking:
        return Ranking(name, (Message("user", one.prompt),), (one.answer, one.wrong), (0, 1))

    asked = instructions(split, count, held_out, seed)
    return InMemoryDataset(f"instructions ({split})", tuple(ranking(name, one) for name, one in asked))


KINDS: dict[str, SourceKind[InMemoryDataset[Ranking]]] = {
    "preferences": SourceKind("preferences:PATH", _preferences),
    "instructions": SourceKind("instructions", _instructions),
}
