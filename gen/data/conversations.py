"""Conversations to learn from, and one door to them: what a config writes as a string becomes entries.

    chat:PATH           JSON lines or rows, one conversation each   options test_fraction, split_by
    instructions        short tasks with one right answer           options count, held_out, seed, mistakes
    prompts:PATH        as chat, but they may end with the user     options test_fraction, split_by

Prompts are for models to answer; where the assistant has the last word, that is the answer which is known. `split_by`
is "content", of the messages, or "position", of file and line, as in version 0.1.0.

The line of a file, in which further keys are ignored:

    {"messages": [{"role": "system", "content": "Be brief."},
                  {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}

    conversations = open_conversations("chat:/data/chats.jsonl", "train", test_fraction=0.1)
    conversations[0].messages[-1].content                                                           # "Hello"
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from gen.data.entries import InMemoryDataset, checked_text, divided, read_rows
from gen.data.faults import ParseError
from gen.data.kinds import SourceKind, open_kind
from gen.data.source import RowRule
from gen.messages import short
from gen.tokenizers.template import ROLES, Message


class ChatRecord(NamedTuple):
    """A system message or none, then a user and the assistant in turn; the assistant speaks at least once."""

    name: str  # "chats.jsonl:7", or "instruction 7"
    messages: tuple[Message, ...]


def parse_messages(entry: Mapping[str, Any]) -> tuple[Message, ...]:
    """The messages of a line. Raises Fault for those of another form or order."""
    content = entry.get("messages")
    if not isinstance(content, list) or not content:
        raise ParseError(': no "messages"; write a list of {"role": ..., "content": ...}')
    messages = tuple(_message(message, f"message {number}") for number, message in enumerate(content, 1))
    spoken = [message.role for message in messages[messages[0].role == "system" :]]
    # Two messages of one role in a row are what a lost message leaves behind, and no model is ever asked that way.
    for number, role in enumerate(spoken):
        if role != ("user", "assistant")[number % 2]:
            raise ParseError(
                f": message {len(messages) - len(spoken) + number + 1} is of the role {role}; write one of system "
                "at the start or none, then user and assistant in turn"
            )
    return messages


def open_conversations(spec: str, split: str, **options) -> InMemoryDataset[ChatRecord]:
    """The conversations that `spec` names, as in the table above, of the split "train" or "test".

    Raises ValueError when a kind, option or place is unknown or missing, and for all faults of files at once.
    """
    return open_kind(KINDS, "set of conversations", spec, (split,), options)


def _message(message: object, where: str) -> Message:
    if not isinstance(message, dict):
        raise ParseError(f': {where} must be {{"role": ..., "content": ...}}, got {type(message).__name__}')
    role = message.get("role")
    if role not in ROLES:
        raise ParseError(f": {where} has the role {short(role)}; the roles are {', '.join(ROLES)}")
    return Message(role, checked_text(message.get("content"), f"the content of {where}"))


def open_prompts(spec: str, split: str, **options) -> InMemoryDataset[ChatRecord]:
    """Conversations to answer: `open_conversations`, and those that end with the user."""
    return open_kind(KINDS | PROMPTS, "set of prompts", spec, (split,), options)


def _conversation(name: str, entry: Mapping[str, Any]) -> ChatRecord:
    messages = parse_messages(entry)
    if all(message.role != "assistant" for message in messages):
        raise ParseError(": the assistant says nothing, so there is nothing to learn; add its message")
    return ChatRecord(name, messages)


def _prompt(name: str, entry: Mapping[str, Any]) -> ChatRecord:
    messages = parse_messages(entry)
    if messages[-1].role == "system":
        raise ParseError(": the user says nothing, so there is nothing to answer; add a message")
    return ChatRecord(name, messages)


def _chat(
    place: str, split: str, test_fraction: float = 0.05, split_by: RowRule = "content"
) -> InMemoryDataset[ChatRecord]:
    conversations = read_rows(place, "messages", _conversation, split_by)
    return divided(conversations, f"chat:{place}", split, test_fraction, split_by)


def _prompts(
    place: str, split: str, test_fraction: float = 0.05, split_by: RowRule = "content"
) -> InMemoryDataset[ChatRecord]:
    prompts = read_rows(place, "messages", _prompt, split_by)
    return divided(prompts, f"prompts:{place}", split, test_fraction, split_by)


def _instructions(
    place: str, split: str, count: int = 2000, held_out: int = 500, seed: int = 0, mistakes: float = 0.0
) -> InMemoryDataset[ChatRecord]:
    from gen.data.instructions import demonstrated

    said = lambda one: (Message("user", one.prompt), Message("assistant", one.answer))
    asked = demonstrated(split, count, held_out, seed, mistakes)
    return InMemoryDataset(f"instructions ({split})", tuple(ChatRecord(name, said(one)) for name, one in asked))


KINDS: dict[str, SourceKind[InMemoryDataset[ChatRecord]]] = {
    "chat": SourceKind("chat:PATH", _chat),
    "instructions": SourceKind("instructions", _instructions),
}

PROMPTS: dict[str, SourceKind[InMemoryDataset[ChatRecord]]] = {"prompts": SourceKind("prompts:PATH", _prompts)}
