"""Tokens and texts for a person's eyes: marks that can be seen, and nothing that a terminal would obey.

legible([257, 72, 105, 258], Bytes())       # "⟨start⟩Hi⟨end⟩"
harmless("\\x1b[2J")                         # "␛[2J"
"""

import itertools
import re

from gen.tokenizers import Tokenizer
from gen.tokenizers.base import Tokens

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and new line


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


def harmless(text: str) -> str:
    """`text` with a picture for each control character, so that it cannot move the cursor or worse."""
    return CONTROLS.sub(lambda match: _picture(ord(match[0])), text)


def _picture(code: int) -> str:
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"
