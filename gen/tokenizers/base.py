"""What a tokenizer is, and how a text becomes a row of exactly T tokens, the context of a model:

    start  t_1 ... t_n  end  pad ... pad

A text that does not fit is cut, and the result says what was lost.

    fitted = fit(Bytes(), "a seven", context=16)
    fitted.tokens_T, fitted.length, fitted.cut          # 16 numbers, 9 of them not padding, "" was cut
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int, Int32

from gen.messages import short

type Tokens = Sequence[int] | Int[np.ndarray, "T"]

SHOWN = 8  # values that a message names


@runtime_checkable
class Decoder(Protocol):
    """A text that grows by one token at a time. A copy (`copy.copy`) grows by itself."""

    def push(self, token: int) -> str:
        """The text that is final with this token, and was not before."""
        ...

    def finish(self) -> str:
        """The text that a later token might change, as it reads if none follows; may be asked at any time."""
        ...


@runtime_checkable
class Tokenizer(Protocol):
    """Text to token ids and back; `start`, `end`, `pad` and `fim` are ids that no text encodes to.

    They may be one id: GPT-2 has a single one between documents. `fim` holds the ids of prefix, suffix and middle for
    filling in the middle (arXiv 2207.14255), where there are such. `fingerprint` is a hex digest: equal digests encode
    equally.
    """

    vocab_size: int
    start: int
    end: int
    pad: int
    fim: tuple[int, int, int] | None
    fingerprint: str

    def encode(self, text: str) -> list[int]:
        """The ids of `text` alone, without start and end. Whatever the text says, it encodes as text.

        Raises ValueError for half a surrogate pair, which is not text.
        """
        ...

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each text, where it can on several cores."""
        ...

    def decode(self, tokens: Tokens) -> str:
        """The text of `tokens`, leaving out start, end, pad and `fim`, and ids that no token has."""
        ...

    def decoder(self) -> Decoder:
        """`decode` token by token: all that its `push` returned and its `finish`, joined, is the text."""
        ...

    def unknown(self, text: str) -> tuple[str, ...]:
        """The pieces of `text` that the vocabulary cannot express, in order, each once."""
        ...

    def save(self, path: str | Path) -> None:
        """Writes the JSON file that `gen.tokenizers.load` reads."""
        ...


class Fitted(NamedTuple):
    """A text as a row of tokens, and what the row could not hold."""

    tokens_T: Int32[np.ndarray, "T"]
    length: int  # tokens before the padding, start and end included
    cut: str  # the tail of the text (as the tokenizer reads it) that did not fit
    unknown: tuple[str, ...]  # pieces that are not in the vocabulary

    @property
    def notes(self) -> list[str]:
        """What a person should be told, a sentence each; empty when the whole text is in the row."""
        notes = []
        if self.cut:
            room = len(self.tokens_T)
            notes.append(f"the text is longer than the {room} tokens of the context; cut: {short(self.cut)}")
        if self.unknown:
            more = ", ..." if len(self.unknown) > SHOWN else ""
            notes.append(f"not in the vocabulary: {', '.join(map(short, self.unknown[:SHOWN]))}{more}")
        return notes


def fit(tokenizer: Tokenizer, text: str, context: int) -> Fitted:
    """`text` between start and end, cut or padded to `context` tokens; a cut keeps the end token, as CLIP does.

    Raises ValueError when `context` cannot hold start, end and one token.
    """
    if context < 3:
        raise ValueError(f"a context of {context} tokens cannot hold start, text and end; use 3 or more")
    ids = tokenizer.encode(text)
    kept, rest = ids[: context - 2], ids[context - 2 :]
    row = [tokenizer.start, *kept, tokenizer.end]
    tokens_T = np.full((context,), tokenizer.pad, np.int32)
    tokens_T[: len(row)] = row
    return Fitted(tokens_T, len(row), tokenizer.decode(rest), tokenizer.unknown(text))


def fit_prompt(tokenizer: Tokenizer, prompt: str, context: int) -> Fitted:
    """`fit` for what a person typed; `notes` of the result says what was lost.

    Raises ValueError when the prompt is empty or none of its characters is in the vocabulary.
    """
    if not check_text(prompt, "the prompt").strip():
        raise ValueError("the prompt is empty; describe what to draw")
    fitted = fit(tokenizer, prompt, context)
    if set("".join(prompt.split())) <= set("".join(fitted.unknown)):
        raise ValueError(
            f"no character of the prompt {short(prompt)} is in the vocabulary of the tokenizer; use others"
        )
    return fitted


def split(tokenizer: Tokenizer, text: str, more: str) -> tuple[list[int], list[int]]:
    """`text` and what follows it as the tokens of both together; a border inside a token goes to the text."""
    whole = tokenizer.encode(text + more)
    first = max(0, min(len(tokenizer.encode(text)), len(whole) - 1))
    return whole[:first], whole[first:]


def check_text(text: str, what: str = "the text") -> str:
    """`text`, which `what` names in messages.

    Raises ValueError for half a surrogate pair: a byte that was not UTF-8, or one that JSON spelled.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} {short(text)} is not UTF-8 at character {error.start + 1}; correct it") from error
    return text
