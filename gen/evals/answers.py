"""How a model answers what has a known answer, and what it costs it to stay near another.

    given = answer(writer, template, conversations, AnswerConfig(new=20))
    summary(given)          # {"right": rate, "ended": share, "length": tokens}

The last message of each conversation is the right answer; the model is asked with all before it, as `template` says.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from gen.data.conversations import Conversation
from gen.evals.interval import rate
from gen.sample.choose import Choice
from gen.sample.writer import Writer, Written
from gen.tokenizers.template import Template


@dataclasses.dataclass(frozen=True)
class AnswerConfig:
    """`copies` answers to each prompt, of at most `new` tokens; `batch` prompts are answered at once."""

    new: int
    copies: int = 1
    choice: Choice = Choice(temperature=0.0)
    seed: int = 0
    batch: int = 256


class Given(NamedTuple):
    """What the model said, and whether it is right: it has ended by itself, and is the answer letter for letter."""

    conversation: Conversation
    written: Written
    right: bool


def answer(writer: Writer, template: Template, conversations: Sequence[Conversation], cfg: AnswerConfig) -> list[Given]:
    """The answers to each conversation side by side."""
    given: list[Given] = []
    for first in range(0, len(conversations), cfg.batch):
        part = conversations[first : first + cfg.batch]
        prompts = [template.ask(one.messages[:-1], writer.tokenizer) for one in part]
        written = writer.write(
            prompts, new=cfg.new, copies=cfg.copies, choice=cfg.choice, seed=cfg.seed + first, stride=cfg.new
        )
        asked = [one for one in part for _ in range(cfg.copies)]
        given += [Given(one, text, is_right(one, text)) for one, text in zip(asked, written, strict=True)]
    return given


def is_right(conversation: Conversation, written: Written) -> bool:
    return written.reason == "end" and written.text.strip() == conversation.messages[-1].content.strip()


def summary(given: Iterable[Given]) -> dict[str, Any]:
    """Shares of answers that are right and that end by themselves, and their mean length in tokens."""
    given = list(given)
    return {
        "right": rate(sum(one.right for one in given), len(given)),
        "ended": sum(one.written.reason == "end" for one in given) / len(given),
        "length": sum(len(one.written.tokens) for one in given) / len(given),
    }
