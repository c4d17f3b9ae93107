"""Long texts in parts that a tokenizer takes at once: the memory that it needs is some two hundred times the text.

    for part in stretches(text, tokenizer.encode):
        ids += part.of(tokenizer.encode(part.text))                 # together: tokenizer.encode(text)

A part has at most 2 x STRETCH characters, whatever the text looks like. It ends where the tokenizer itself sets a
border, and the next one is encoded behind the end of this one, whose tokens are left out of the result, so that
nothing is put at its start that belongs to the start of a text. Tried are ends of lines, then spaces, then any place;
the tokens before a border must be the same with and without what follows. So the tokens are those of the whole text
wherever a border shows within REACH characters, as between the words of any tokenizer that splits text into words.

Within a single word of more than STRETCH characters that looks the same everywhere, as a line of one letter, no place
shows a border. It is then cut anyhow: the tokens on both sides are those of two words, and a tokenizer that puts a
space before every text puts one there.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from gen.tokenizers.bytes import Bytes

STRETCH = 2**18  # characters after which a text may be cut
BYTES = Bytes()
REACH = 256  # characters on both sides of a cut that are looked at
PLACES = ((r"(?<=[^\W_])(?=\n)", 8), (r"(?<=\S)(?=\s)", 24), (r"(?<=.)(?=.)", 32))  # where to cut, and how often tried
LAST = 8  # places at the end of a part that are tried with all of it, where no other is found


class Stretch(NamedTuple):
    """A part of a text; `first` and `last` say whether it is at an end of it. It begins with `context` characters, and
    `skip` tokens, of the part before it."""

    text: str
    first: bool
    last: bool
    context: int = 0
    skip: int = 0

    @property
    def own(self) -> str:
        return self.text[self.context :]

    def of(self, tokens: Sequence[int]) -> Sequence[int]:
        """The part's own tokens among those of its `text`."""
        return tokens[self.skip :]


def is_long(text: str) -> bool:
    """Whether a text has more than one stretch."""
    return len(text) > 2 * STRETCH


def stretches(text: str, encode: Callable[[str], Sequence[int]] = BYTES.encode) -> Iterator[Stretch]:
    """The parts of a text, each of which `encode` may be given; by default a text of bytes, which any place ends."""
    begin = context = skip = 0
    while len(text) - begin + context > 2 * STRETCH:
        cut, following, tokens = _cut(text, begin, context, encode)
        yield Stretch(text[begin - context : cut], begin == 0, False, context, skip)
        begin, context, skip = cut, following, tokens
    yield Stretch(text[begin - context :], begin == 0, True, context, skip)


def _cut(text: str, begin: int, context: int, encode: Callable[[str], Sequence[int]]) -> tuple[int, int, int]:
    """A place to cut, and the characters before it that the next part begins with, and their tokens."""
    reach = min(REACH, STRETCH // 2)
    low, high = begin + STRETCH, begin + 2 * STRETCH - reach
    for pattern, times in PLACES:
        for place, _ in zip(re.compile(pattern, re.DOTALL).finditer(text, low, high), range(times), strict=False):
            cut = place.start()
            # a border that is one for different beginnings does not depend on where a long word began
            found = [_border(text, cut - size, cut, reach, encode) for size in (reach, reach - 1, reach - 3)]
            if (tokens := found[0]) is not None and None not in found:
                return cut, min(reach, cut), tokens
    for cut in range(high, high - LAST, -1):
        if _border(text, begin - context, cut, reach, encode) is not None:
            for size in range(reach, reach // 2, -1):
                if (tokens := _border(text, cut - size, cut, reach, encode)) is not None:
                    return cut, min(size, cut), tokens
    return high, 0, 0


def _border(text: str, begin: int, cut: int, reach: int, encode: Callable[[str], Sequence[int]]) -> int | None:
    """The number of tokens from `begin` to `cut`, if they are the same whatever follows; else None."""
    before = encode(text[max(begin, 0) : cut])
    both = encode(text[max(begin, 0) : cut + reach])
    return len(before) if list(both[: len(before)]) == list(before) else None
