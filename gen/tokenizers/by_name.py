"""A tokenizer by what a config calls it: "bytes", "bpe:SIZE", or the path of a file.

named("bpe:512", learn=lambda size: train(captions, size), example=512)
"""

from collections.abc import Callable

from gen.tokenizers.base import Tokenizer
from gen.tokenizers.bytes import Bytes
from gen.tokenizers.loading import load


def named(name: str, learn: Callable[[int], Tokenizer], example: int) -> Tokenizer:
    """`learn` trains one of a size, which is asked for by "bpe:SIZE". Raises ValueError for one that does not exist."""
    kind, _, size = name.partition(":")
    if kind == "bytes":
        return Bytes()
    if kind != "bpe":
        return load(name)
    if not size.isdigit():
        raise ValueError(f"data.tokenizer={name!r}: write bpe:SIZE, for example bpe:{example}")
    return learn(int(size))
