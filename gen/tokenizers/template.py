r"""A conversation as the tokens that a language model reads, and which of them it should learn to say.

    Template().render([Message("user", "Hi"), Message("assistant", "Hello")], tokenizer)

    start  U s e r :   H i \n A s s i s t a n t :   H e l l o  end  \n
                                                    1 1 1 1 1   1         count

What stands around a message and what it says are encoded apart, so that a model is asked in the very tokens that it
was trained on, and no message can write a mark of the template that is a token of its own.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, get_args

from gen.tokenizers.base import Tokenizer

Role = Literal["system", "user", "assistant"]
ROLES: tuple[str, ...] = get_args(Role)


class Message(NamedTuple):
    role: Role
    content: str


class Rendered(NamedTuple):
    """The tokens of a conversation, and whether each is the assistant's own: what it says, and that it has ended."""

    tokens: list[int]
    counts: list[bool]


@dataclasses.dataclass(frozen=True)
class Template:
    """What stands around the messages of each role: {content} is the message, {end} the tokenizer's end token."""

    system: str = "{content}\n"
    user: str = "User: {content}\n"
    assistant: str = "Assistant: {content}{end}\n"

    def __post_init__(self):
        for role in ROLES:
            if (count := getattr(self, role).count("{content}")) != 1:
                raise ValueError(f"data.template.{role} has {{content}} {count} times; the message goes there, once")
        if not self.assistant.partition("{content}")[2].startswith("{end}"):
            raise ValueError(
                'data.template.assistant must have {end} behind {content}, as "Assistant: {content}{end}":'
                " a model that never sees an answer end never ends one"
            )

    def render(self, messages: Sequence[Message], tokenizer: Tokenizer) -> Rendered:
        """The whole conversation, behind a start."""
        pieces = [([tokenizer.start], False)]
        for message in messages:
            before, after = self._around(message.role)
            own = message.role == "assistant"
            pieces += [(part, False) for part in _encoded(before, tokenizer)]
            pieces.append((tokenizer.encode(message.content), own))
            pieces += [(part, own and i == 0) for i, part in enumerate(_encoded(after, tokenizer))]
        return Rendered(
            [token for tokens, _ in pieces for token in tokens],
            [counts for tokens, counts in pieces for _ in tokens],
        )

    def ask(self, messages: Sequence[Message], tokenizer: Tokenizer) -> list[int]:
        """The conversation so far and what comes before the assistant's next message."""
        before = _encoded(self._around("assistant")[0], tokenizer)
        return [*self.render(messages, tokenizer).tokens, *(token for part in before for token in part)]

    def _around(self, role: str) -> tuple[str, str]:
        before, _, after = getattr(self, role).partition("{content}")
        return before, after


def _encoded(text: str, tokenizer: Tokenizer) -> Iterator[list[int]]:
    """The tokens of each piece of a template's text; its ends of turn are pieces of their own."""
    first, *rest = text.split("{end}")
    if first:
        yield tokenizer.encode(first)
    for piece in rest:
        yield [tokenizer.end]
        if piece:
            yield tokenizer.encode(piece)
