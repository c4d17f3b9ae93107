"""Fill in the middle (Bavarian et al. 2022, arXiv 2207.14255): a model that reads left to right learns to insert.

A document, cut at two places, is told in another order (PSM), all of it counting in the loss:

    start  <fim_prefix> prefix <fim_suffix> suffix <fim_middle> middle  end

Here on what a row shows of each document (context level: the whole middle is in the row), so that it takes no other
tokens than the row. The three marks make a row longer; it is cut where it was, and a document is cut before it is
told in the other order, so that its middle is never lost.

    tokens, begins = rearrange(*window, tokenizer, probability=0.5, generator=rng.host(seed, "fim", position, row))
"""

import numpy as np
from jaxtyping import Bool, Int32

from gen.data.packing import Window
from gen.tokenizers import Tokenizer

MARKS = 3
NO_MARKS = (
    "data.fim needs a tokenizer with marks for prefix, suffix and middle, and this one has none; "
    "set data.tokenizer=bpe:4096 or data.fim=0"
)


def rearrange(
    tokens: Int32[np.ndarray, "W"],
    begins: Bool[np.ndarray, "W"],
    tokenizer: Tokenizer,
    probability: float,
    generator: np.random.Generator,
) -> Window:
    """The window with each of its documents rearranged with `probability`; as many tokens as before.

    Raises ValueError when the tokenizer has no marks for it.
    """
    if tokenizer.fim is None:
        raise ValueError(NO_MARKS)
    pieces: list[np.ndarray] = []
    room, starts = len(tokens), bool(begins[0])
    for piece in np.split(tokens, np.flatnonzero(begins[1:]) + 1):
        if generator.random() < probability:
            piece = _rearranged(piece, starts, room, tokenizer, generator)
        pieces.append(piece[:room])
        room, starts = room - len(pieces[-1]), True
        if not room:
            break
    anew = np.zeros(len(tokens), np.bool_)
    anew[np.cumsum([len(piece) for piece in pieces[:-1]], dtype=np.int64)] = True
    anew[0] = begins[0]
    return np.concatenate(pieces), anew


def _rearranged(
    piece: np.ndarray, starts: bool, room: int, tokenizer: Tokenizer, generator: np.random.Generator
) -> np.ndarray:
    """What a row shows of one document, in the order of PSM, within `room` tokens."""
    assert tokenizer.fim is not None
    ends = piece[-1] == tokenizer.end and len(piece) > starts  # no text encodes to the end
    head, content, tail = np.split(piece, (int(starts), len(piece) - int(ends)))
    free = room - len(head) - MARKS
    if len(content) + len(tail) > free:
        content, tail = content[: max(free, 0)], tail[:0]
    if not len(content):
        return piece
    prefix, middle, suffix = np.split(content, np.sort(generator.integers(len(content) + 1, size=2)))
    before, behind, between = (np.asarray([mark], np.int32) for mark in tokenizer.fim)
    return np.concatenate([head, before, prefix, behind, suffix, between, middle, tail])
