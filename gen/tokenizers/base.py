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

type Tokens = Sequence[int] | Int[np.ndarray, "T"]


@runtime_checkable
class Tokenizer(Protocol):
    """Text to token ids and back; `start`, `end` and `pad` are ids that no text encodes to.

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
        """The ids of `text` alone, without start and end. Whatever the text says, it encodes as text."""
        ...

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each text, where it can on several cores."""
        ...

    def decode(self, tokens: Tokens) -> str:
        """The text of `tokens`, leaving out start, end, pad and `fim`."""
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
            notes.append(f"the text is longer than the {len(self.tokens_T)} tokens of the context; cut: {self.cut!r}")
        if self.unknown:
            notes.append(f"not in the vocabulary: {', '.join(map(repr, self.unknown))}")
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
    if not prompt.strip():
        raise ValueError("the prompt is empty; describe what to draw")
    fitted = fit(tokenizer, prompt, context)
    if set("".join(prompt.split())) <= set("".join(fitted.unknown)):
        raise ValueError(f"no character of the prompt {prompt!r} is in the vocabulary of the tokenizer; use others")
    return fitted
