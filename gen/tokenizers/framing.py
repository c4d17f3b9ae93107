"""The tokens around a text that a language model reads, and those that end a text that it writes.

Framing.usual(tokenizer)                          # models trained by gen: start before each text, ended by end
Framing((), (), (50256,), 50256)                  # public GPT-2, whose tokenizer puts nothing before a text
Framing((1,), (), (2, 32000), 1).read([306])      # [1, 306]
"""

import dataclasses
from collections.abc import Sequence

from gen.tokenizers.base import Tokenizer


@dataclasses.dataclass(frozen=True)
class Framing:
    """`before` and `after` are put around a text, each of `ends` ends one; all are token ids.

    `alone` is what a model reads where nothing else precedes the token that it predicts.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    ends: tuple[int, ...]
    alone: int

    @classmethod
    def usual(cls, tokenizer: Tokenizer) -> "Framing":
        """The framing that gen trains language models with."""
        return cls((tokenizer.start,), (), (tokenizer.end,), tokenizer.start)

    def switched(self, tokenizer: Tokenizer, bos: bool | None, eos: bool | None) -> "Framing":
        """With the start token before a text, or the end token after it, switched on or off; None leaves it."""
        before = self.before if bos is None else (tokenizer.start,) * bos
        after = self.after if eos is None else (tokenizer.end,) * eos
        return dataclasses.replace(self, before=before, after=after)

    def read(self, ids: Sequence[int]) -> list[int]:
        """The ids of a text as the model reads them, at least one."""
        return [*self.before, *ids, *self.after] or [self.alone]

    def lead(self, context: Sequence[int]) -> tuple[int, ...]:
        """The ids before a context whose continuation is predicted."""
        return self.before or (() if context else (self.alone,))
