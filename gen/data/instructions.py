r"""Instructions with one right answer, without end and without a data set, to learn to follow and to be judged by.

    instruction(seed=0, number=7, split="train")
        kind "arithmetic"   prompt "What is 23 plus 45?"    answer "68"     wrong "58"

An instruction is a function of (seed, number, split), the kinds (questions.py) in turn. Its split is a hash of what is
asked, whatever the words, so that nothing that a model was trained on is ever asked of it to judge it.

For pretraining there are documents of solved instructions, half of them of one kind, as a corpus:

    Solved("train", documents=20000, seed=0, mistakes=0.0)          "Sort 3 1 2. 1 2 3\nReverse tam. mat\n ..."
"""

import hashlib
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from gen import rng
from gen.data.corpus import Document
from gen.data.questions import KINDS, below
from gen.data.source import digest

type Split = Literal["train", "held_out"]

SAMPLE = 64  # documents whose text tells one way of making them from another, for fingerprints
PROMPT, ANSWER = 40, 16  # the most bytes of each, all ASCII


class Instruction(NamedTuple):
    """A prompt, its answer, and one that could be taken for it."""

    kind: str
    prompt: str
    answer: str
    wrong: str


def instruction(seed: int, number: int, split: Split = "held_out", kind: str | None = None) -> Instruction:
    """Number `number` of a split, of the kind whose turn it is or of `kind`.

    Raises ValueError for a kind that does not exist.
    """
    kind = tuple(KINDS)[number % len(KINDS)] if kind is None else kind
    if kind not in KINDS:
        raise ValueError(f"there is no kind of instruction {kind!r}; there are {', '.join(KINDS)}")
    return _drawn(rng.host(seed, f"instruction {kind}", number), kind, split)


def instructions(split: str, count: int, held_out: int, seed: int) -> list[tuple[str, Instruction]]:
    """The first `count` of the split "train", or `held_out` of "test", each with a name.

    Raises ValueError for another split, or none of either.
    """
    if split not in ("train", "test"):
        raise ValueError(f'instructions has no split {split!r}; its splits are "train" and "test"')
    if min(count, held_out) < 1:
        raise ValueError(f"instructions: count={count} and held_out={held_out}; use 1 or more of each")
    own: Split = "train" if split == "train" else "held_out"
    return [(f"instruction {n}", instruction(seed, n, own)) for n in range(count if split == "train" else held_out)]


def split_of(topic: str) -> Split:
    """A quarter of all that can be asked is held out."""
    return "held_out" if hashlib.sha256(topic.encode()).digest()[0] < 64 else "train"


class Solved:
    """Documents of 6 to 10 solved instructions, one a line; a share of `mistakes` of the lines has a wrong answer.

    The test split has one document for 20 of the training split, of instructions held out from it.
    """

    def __init__(self, split: str, documents: int, seed: int, mistakes: float):
        """Raises ValueError for another split, no documents, or a share outside [0, 1]."""
        self.name = f"instructions ({split})"
        self.skipped: dict[str, str] = {}
        if split not in ("train", "test"):
            raise ValueError(f'instructions has no split {split!r}; its splits are "train" and "test"')
        if documents < 1:
            raise ValueError(f"instructions: documents is {documents}, expected 1 or more")
        if not 0 <= mistakes <= 1:
            raise ValueError(f"instructions: mistakes is {mistakes}, expected a number from 0 to 1")
        self._split: Split = "train" if split == "train" else "held_out"
        self._count = documents if split == "train" else max(1, documents // 20)
        self._seed, self._mistakes = seed, mistakes
        beginning = "".join(self._text(number) for number in range(min(SAMPLE, self._count)))
        self.fingerprint = digest("instructions", beginning, split, documents, seed, str(mistakes))

    def __len__(self) -> int:
        return self._count

    def documents(self) -> Iterator[Document]:
        for number in range(self._count):
            yield Document(f"instructions {number}", self._text(number))

    def _text(self, number: int) -> str:
        draw = rng.host(self._seed, f"instructions {self._split}", number)
        kinds = tuple(KINDS)
        one = kinds[below(draw, len(kinds))] if below(draw, 2) else None
        lines = []
        for _ in range(6 + below(draw, 5)):
            solved = _drawn(draw, one or kinds[below(draw, len(kinds))], self._split)
            answer = solved.wrong if draw.random() < self._mistakes else solved.answer
            lines.append(f"{solved.prompt} {answer}\n")
        return "".join(lines)


def _drawn(draw: np.random.Generator, kind: str, split: Split) -> Instruction:
    while True:
        asked = KINDS[kind](draw)
        if split_of(asked.topic) != split:
            continue
        prompt = asked.wordings[below(draw, len(asked.wordings))]
        others = [other for other in asked.others if other != asked.answer]
        return Instruction(kind, prompt, asked.answer, others[below(draw, len(others))])
