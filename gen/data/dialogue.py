"""A conversation as the tokens that a row of a batch holds.

    dialogue(messages, Template(), tokenizer)

    tokens_N    start  U s e r :   H i \n A s s i s t a n t :   H e l l o  end
    counts_N                                                    1 1 1 1 1   1
    prompt      where the assistant's last message begins, 22 here: the tokens before it are what a model is asked with

What the template has behind the last end that counts is left out: nothing there is learnt, and nothing is asked.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32

from gen.tokenizers import Tokenizer
from gen.tokenizers.template import Message, Template


class Dialogue(NamedTuple):
    tokens_N: Int32[np.ndarray, "N"]
    counts_N: Bool[np.ndarray, "N"]  # whether a token is the assistant's own
    prompt: int


def dialogue(messages: Sequence[Message], template: Template, tokenizer: Tokenizer) -> Dialogue:
    """The tokens of `messages`, in which the assistant speaks, to the end of its last one."""
    rendered = template.render(messages, tokenizer)
    counts_N = np.asarray(rendered.counts, np.bool_)
    size = int(np.flatnonzero(counts_N)[-1]) + 1
    tokens_N = np.asarray(rendered.tokens[:size], np.int32)
    return Dialogue(tokens_N, counts_N[:size], int(np.flatnonzero(~counts_N[:size])[-1]) + 1)


def padded(tokens: Int32[np.ndarray, "N"], length: int, pad: int) -> Int32[np.ndarray, "T"]:
    """`tokens`, of which there are at most `length`, and padding behind them."""
    return np.pad(tokens, (0, length - len(tokens)), constant_values=pad)
