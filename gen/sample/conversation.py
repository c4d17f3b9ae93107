"""A conversation with a language model that has learned to converse, and what a person thinks of its answers.

    choice = SamplingParams(temperature=0.7)
    conversation = Conversation(generator, Template(), system="Be brief.", new=64, choice=choice)
    conversation.say("Hi", show=lambda text: print(text, end=""))       # Answer("Hello", ...), shown as it is written
    conversation.again()                                                # Answer("Hello!", ...) in its place
    conversation.rate(up=True)                                          # [Preference((user: Hi,), "Hello!", "Hello")]

Nothing is read or printed here. Where the history and room for an answer do not fit into the model's context, the
oldest exchanges are left out, the system message never.

Of two answers to the same messages, one rated up is preferred to one rated down, and to one that it came in place of.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

from gen import rng
from gen.sample.generator import Delta, Generator, Reason
from gen.sample.sampling_params import SamplingParams
from gen.tokenizers.base import check_text
from gen.tokenizers.template import Message, Template

AGAIN = 1.0  # the temperature of another answer, where the first is the likeliest

type Standing = Literal["said", "replaced", "up", "down"]


class Refused(ValueError):
    """What a person asked for cannot be done; the conversation is as it was before."""


class Answer(NamedTuple):
    """What the model said; `left_out` counts the exchanges, the oldest, that it was not given for want of room."""

    text: str
    tokens: int
    reason: Reason | Literal["stopped"]
    left_out: int


class Preference(NamedTuple):
    """Of two answers to `messages`, the one that a person preferred."""

    messages: tuple[Message, ...]
    chosen: str
    rejected: str


class Exchange(NamedTuple):
    """A user's message and its answer; `given` is all that the model answered to."""

    user: str
    given: tuple[Message, ...]
    answer: Answer

    @property
    def messages(self) -> tuple[Message, Message]:
        return Message("user", self.user), Message("assistant", self.answer.text)


class Conversation:
    """Answers have at most `new` tokens; another `seed`, other answers."""

    def __init__(
        self,
        writer: Generator,
        template: Template,
        *,
        system: str | None = None,
        new: int = 256,
        choice: SamplingParams = SamplingParams(),  # noqa: B008 (frozen)
        seed: int = 0,
    ):
        """Raises ValueError for a system message that is empty or leaves no room in the context."""
        self.tokenizer = writer.tokenizer
        self._writer, self._template, self._new, self._choice, self._seed = writer, template, new, choice, seed
        self._system = () if system is None else (Message("system", checked(system, "the system message")),)
        self._exchanges: list[Exchange] = []
        self._written = 0  # answers, each from a seed of its own
        self._standings: dict[tuple[Message, ...], dict[str, Standing]] = {}
        self._told: set[tuple[tuple[Message, ...], frozenset[str]]] = set()
        self._prompt((*self._system, Message("user", "")), "the template with the system message")

    def say(self, text: str, show: Callable[[str], None] | None = None) -> Answer:
        """The answer to a user's message; `show` is called with each piece as it comes.

        A KeyboardInterrupt while it is written ends it and keeps what was said, if anything was; otherwise, and for
        any other exception, the conversation is as before. Raises Refused for a message that is empty or too long.
        """
        given, left_out = self._given(checked(text))
        answer = self._answer(given, left_out, show)
        self._exchanges.append(Exchange(text, given, answer))
        return answer

    def again(self, show: Callable[[str], None] | None = None) -> Answer:
        """Another answer in place of the last, as of `say`.

        Where answers are greedy, and another would be the same, it is drawn at temperature 1.
        """
        last = self._last("to answer again")
        answer = self._answer(last.given, last.answer.left_out, show, instead_of=last.answer)
        self._exchanges[-1] = last._replace(answer=answer)
        return answer

    def rate(self, up: bool) -> list[Preference]:
        """Rates the last answer. Returns what is now known to be preferred, each pair of answers once."""
        last = self._last("to rate")
        standings, text = self._standings[last.given], last.answer.text
        standings[text] = "up" if up else "down"
        of = lambda standing: [other for other, own in standings.items() if own == standing]
        pairs = [(good, bad) for good in of("up") for bad in of("down")]
        pairs += [(text, other) for other in of("replaced") if up]
        found = []
        for chosen, rejected in pairs:
            pair = last.given, frozenset((chosen, rejected))
            if pair not in self._told and chosen.strip() and rejected.strip():
                self._told.add(pair)
                found.append(Preference(last.given, chosen, rejected))
        return found

    def undo(self) -> None:
        """Takes back the last message and its answer."""
        self._last("to take back")
        self._exchanges.pop()

    def clear(self) -> None:
        """Begins anew, behind the same system message. Ratings are remembered."""
        self._exchanges.clear()

    @property
    def messages(self) -> list[Message]:
        """All that was said."""
        return [*self._system, *(message for exchange in self._exchanges for message in exchange.messages)]

    @property
    def tokens(self) -> list[int]:
        """What the model was given for its last answer. Raises Refused when there is none."""
        return self._prompt(self._last("to show").given)

    def _last(self, purpose: str) -> Exchange:
        if not self._exchanges:
            raise Refused(f"there is no answer {purpose}; say something first")
        return self._exchanges[-1]

    def _given(self, text: str) -> tuple[tuple[Message, ...], int]:
        """The messages that the model is given, and how many exchanges are left out."""
        asked = (*self._system, Message("user", text))
        # an answer is hardly ever as long as it may be: room for half a context is enough, whatever `new` is
        wanted = min(self._new, self._writer.model.context // 2)
        room = self._writer.model.context - len(self._prompt(asked)) - wanted
        kept: list[Message] = []
        for number, exchange in enumerate(reversed(self._exchanges)):
            room -= len(self._template.render(exchange.messages, self.tokenizer).tokens) - 1  # the start
            if room < 0:
                return (*self._system, *kept, asked[-1]), len(self._exchanges) - number
            kept = [*exchange.messages, *kept]
        return (*self._system, *kept, asked[-1]), 0

    def _prompt(self, messages: tuple[Message, ...], what: str = "the message with what stands around it") -> list[int]:
        """The tokens that ask for an answer. Raises Refused when they leave no room for one."""
        tokens, context = self._template.ask(messages, self.tokenizer), self._writer.model.context
        if len(tokens) >= context:
            size = f"{what} has {len(tokens)} tokens"
            raise Refused(f"{size}, which leaves no room in the model's context of {context}; shorten it")
        return tokens

    def _answer(
        self,
        given: tuple[Message, ...],
        left_out: int,
        show: Callable[[str], None] | None,
        instead_of: Answer | None = None,
    ) -> Answer:
        said: list[str] = []

        def keep(piece: Delta) -> None:
            said.append(piece.text)
            if show is not None:
                show(piece.text)

        seed = int(rng.host(self._seed, "answer", self._written).integers(2**31))
        self._written += 1
        try:
            prompts = [self._prompt(given)]
            choice = self._choice
            if instead_of is not None and choice.temperature == 0:  # the likeliest answer is there already
                choice = dataclasses.replace(choice, temperature=AGAIN)
            (written,) = self._writer.generate(prompts, new=self._new, seed=seed, choice=choice, show=keep)
            answer = Answer(written.text, len(written.tokens), written.reason, left_out)
        except KeyboardInterrupt:
            if not said:
                raise
            text = "".join(said)
            answer = Answer(text, len(self.tokenizer.encode(text)), "stopped", left_out)
        standings = self._standings.setdefault(given, {})
        if instead_of is not None and standings[instead_of.text] == "said":
            standings[instead_of.text] = "replaced"
        if standings.get(answer.text) not in ("up", "down"):
            standings[answer.text] = "said"
        return answer


def checked(text: str, what: str = "the message") -> str:
    """The text of a message, as it is. Raises Refused when it is empty or no Unicode."""
    if not text.strip():
        raise Refused(f"{what} is empty; write something")
    try:
        return check_text(text, what)
    except ValueError as error:
        raise Refused(str(error)) from error
