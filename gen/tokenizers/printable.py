"""Tokens for a person's eyes, with marks that can be seen.

legible([257, 72, 105, 258], Bytes())       # "⟨start⟩Hi⟨end⟩"
"""

import itertools

from gen.tokenizers import Tokenizer
from gen.tokenizers.base import Tokens


def legible(tokens: Tokens, tokenizer: Tokenizer) -> str:
    """The text of `tokens` with start, end, pad and those for filling in the middle as ⟨...⟩."""
    names = {tokenizer.pad: "⟨pad⟩", tokenizer.start: "⟨start⟩", tokenizer.end: "⟨end⟩"}
    if tokenizer.fim is not None:
        names |= dict(zip(tokenizer.fim, ("⟨prefix⟩", "⟨suffix⟩", "⟨middle⟩"), strict=True))
    text = ""
    for is_mark, run in itertools.groupby(map(int, tokens), key=lambda token: token in names):
        own = list(run)
        text += "".join(names[token] for token in own) if is_mark else tokenizer.decode(own)
    return text
