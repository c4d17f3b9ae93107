"""The tokenizer of a run that trains a pretrained model further: that model's own, unless the config names one.

make_chat_tokenizer(ChatDataConfig("instructions", tokenizer="bytes"))          # Bytes()
make_chat_tokenizer(ChatDataConfig("instructions"))                             # None: take the pretrained model's
"""

from typing import Protocol, runtime_checkable

from gen import tokenizers
from gen.tokenizers import Tokenizer


@runtime_checkable
class Names(Protocol):
    """A `data` section that may name a tokenizer."""

    @property
    def tokenizer(self) -> str | None:
        """ "bytes", the path of a file, or None."""
        ...


def make_chat_tokenizer(cfg: Names) -> Tokenizer | None:
    """Raises ValueError for a tokenizer that does not exist, or that would have to be trained."""
    return None if cfg.tokenizer is None else tokenizers.named(cfg.tokenizer, _learn, example=4096)


def _learn(size: int) -> Tokenizer:
    raise ValueError(
        f"data.tokenizer='bpe:{size}': fine-tuning trains no tokenizer; leave it out for that of the pretrained model, "
        "or write bytes or the path of a file"
    )
