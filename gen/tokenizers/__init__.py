"""Text to tokens and back: one protocol (base), UTF-8 bytes (bytes), subwords of any tokenizer.json (subword), trained
on captions (captions) or on text and code (text), SentencePiece (pieces), `load` for all of them (saved) and `named`
for what a config calls them, growing text (stream), long text (stretches).

T is the context, the length of a row of tokens.

    tokenizer = load("run/tokenizer.json")
    tokens_T, length, cut, unknown = fit(tokenizer, "a handwritten seven", context=24)
"""

from gen.tokenizers.base import Fitted, Tokenizer, fit, fit_prompt
from gen.tokenizers.bpe import BPE
from gen.tokenizers.by_name import named
from gen.tokenizers.bytes import Bytes
from gen.tokenizers.captions import train
from gen.tokenizers.loading import load
from gen.tokenizers.stream import Stream
from gen.tokenizers.text import train_text

__all__ = [
    "Bytes",
    "Fitted",
    "Stream",
    "BPE",
    "Tokenizer",
    "fit",
    "fit_prompt",
    "load",
    "named",
    "train",
    "train_text",
]
