"""How a model answers what has a known answer, and what its answers cost beside those of another.

    given = answer(writer, asked, AnswerConfig(new=20), as_told(template, writer.tokenizer))
    summary(given)                              # {"right": {"rate": 0.71, ...}, "ended": 0.98, "length": 5.7}
    kl(given, reader)                           # nats an answer, where `reader` reads with the other model's weights

An answer is right when it has ended by itself and is the known one letter for letter, spaces around it apart.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from gen.bounds import Bounded, Count, Seed
from gen.data.conversations import ChatRecord
from gen.evals.interval import rate
from gen.sample.generator import Completion, Generator, Prompt
from gen.sample.sampling_params import SamplingParams
from gen.sample.scorer import Scorer
from gen.tokenizers import Tokenizer
from gen.tokenizers.template import Template


@dataclasses.dataclass(frozen=True)
class AnswerConfig(Bounded):
    """`copies` answers to each conversation's last message, of at most `new` tokens; `batch` are answered at once."""

    new: Count
    copies: Count = 1
    choice: SamplingParams = SamplingParams(temperature=0.0)
    stop: tuple[str, ...] = ()
    seed: Seed = 0
    batch: Count = 256


class GradedAnswer(NamedTuple):
    """What a model said to all of a conversation but its last message, which is the known answer."""

    conversation: ChatRecord
    prompt: list[int]
    written: Completion

    @property
    def ended(self) -> bool:
        """Whether it ended by itself."""
        return self.written.reason in ("end", "stop")

    @property
    def right(self) -> bool:
        return self.ended and self.written.text.strip() == self.conversation.messages[-1].content.strip()


def as_told(template: Template, tokenizer: Tokenizer) -> Callable[[ChatRecord], Prompt]:
    """How a model that has learned to converse is asked."""
    return lambda conversation: template.ask(conversation.messages[:-1], tokenizer)


def answer(
    writer: Generator, asked: Sequence[ChatRecord], cfg: AnswerConfig, prompt_of: Callable[[ChatRecord], Prompt]
) -> list[GradedAnswer]:
    """The answers to each conversation side by side."""
    given: list[GradedAnswer] = []
    for first in range(0, len(asked), cfg.batch):
        part = asked[first : first + cfg.batch]
        prompts = [prompt_of(one) for one in part]
        tokens = [writer.encode(prompt) for prompt in prompts]
        written = writer.generate(
            prompts,
            new=cfg.new,
            copies=cfg.copies,
            choice=cfg.choice,
            stop=cfg.stop,
            seed=cfg.seed + first,  # each batch draws anew
            stride=cfg.new,
        )
        given += [GradedAnswer(part[i // cfg.copies], tokens[i // cfg.copies], text) for i, text in enumerate(written)]
    return given


def summary(given: Iterable[GradedAnswer]) -> dict[str, Any]:
    """Shares of answers that are right and that end by themselves, and their mean length in tokens."""
    given = list(given)
    return {
        "right": rate(sum(one.right for one in given), len(given)),
        "ended": sum(one.ended for one in given) / len(given),
        "length": sum(len(one.written.tokens) for one in given) / len(given),
    }


def kl(given: Sequence[GradedAnswer], reader: Scorer) -> float:
    """KL(model || reader's model) in nats an answer, from answers that were drawn from the model as it is."""
    # a reader puts the start there itself
    scores = reader.score_tokens([(one.prompt[1:], one.written.tokens) for one in given])
    gaps = [sum(one.written.log_p) - score.log_p for one, score in zip(given, scores, strict=True)]
    return sum(gaps) / len(gaps)
