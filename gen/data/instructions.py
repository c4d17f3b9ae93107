r"""Instructions with one right answer, without end and without a data set, to learn to follow and to be judged by.

    instruction(seed=0, number=7, split="train")
        kind "arithmetic"   prompt "What is 23 plus 5?"     answer "28"     wrong "27"

An instruction is a function of (seed, number, split), the kinds (questions.py) in turn. Its split is a hash of what is
asked, whatever the words, so that nothing that a model was trained on is ever asked of it to judge it.

For pretraining there are documents of solved instructions, half of them of one kind, as a corpus:

    open_corpus("instructions", "train", documents=20000)           "Sort 3 1 2. 1 2 3\nReverse tam. mat\n ..."

A share of them can be `marked`, as a teacher marks what pupils write, and another can have slips `struck` out at once:

    "Sort 3 1 2. 1 3 2 no\nReverse tam. mat ok\n ..."             "Sort 3 1 2. 1 3<2 3\nReverse tam. mat\n ..."

Both show how wrong answers differ from right ones, which a reward model is asked for.
"""

import hashlib
import string
from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from gen import rng
from gen.data.corpus import Document
from gen.data.questions import KINDS, REFUSAL, below
from gen.data.source import digest

type Split = Literal["train", "held_out"]

SAMPLE = 64  # documents whose text tells one way of making them from another, for fingerprints
PROMPT, ANSWER = 28, 13  # the most bytes of each, all ASCII
OK, NO = " ok", " no"  # how a teacher marks an answer
STRIKE = "<"  # behind a character that was a slip


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


def demonstrated(split: str, count: int, held_out: int, seed: int, mistakes: float) -> list[tuple[str, Instruction]]:
    """As by people who err: of the split "train", a share of `mistakes` has the wrong answer for the answer.

    Raises ValueError as `instructions` does, and for a share outside [0, 1].
    """
    check_share("mistakes", mistakes)
    asked = instructions(split, count, held_out, seed)
    if split == "test":
        return asked
    errs = (rng.host(seed, "demonstration", number).random() < mistakes for number in range(count))
    return [
        (name, one._replace(answer=one.wrong) if err else one) for (name, one), err in zip(asked, errs, strict=True)
    ]


def check_share(name: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"instructions: {name} is {share}, expected a number from 0 to 1")


def split_of(topic: str) -> Split:
    """A quarter of all that can be asked is held out."""
    return "held_out" if hashlib.sha256(topic.encode()).digest()[0] < 64 else "train"


class Solved:
    """Documents of 6 to 10 solved instructions, one a line; a share of `mistakes` of the lines has a wrong answer.

    A share of the documents is `marked`: half of their answers are wrong, and each is followed by OK or NO. In a share
    of `struck`, half of the answers begin to be wrong, with a character that STRIKE follows, and go on right.
    The test split has one document for 20 of the training split, of instructions held out from it.
    """

    def __init__(self, split: str, documents: int, seed: int, mistakes: float, marked: float, struck: float):
        """Raises ValueError for another split, no documents, a share outside [0, 1], or two that exceed 1 together."""
        self.name = f"instructions ({split})"
        self.skipped: dict[str, str] = {}
        self.notes: list[str] = []
        if split not in ("train", "test"):
            raise ValueError(f'instructions has no split {split!r}; its splits are "train" and "test"')
        if documents < 1:
            raise ValueError(f"instructions: documents is {documents}, expected 1 or more")
        for name, share in (("mistakes", mistakes), ("marked", marked), ("struck", struck)):
            check_share(name, share)
        if marked + struck > 1:
            raise ValueError(f"instructions: marked is {marked} and struck {struck}, together more than all documents")
        self._split: Split = "train" if split == "train" else "held_out"
        self._count = documents if split == "train" else max(1, documents // 20)
        self._seed, self._mistakes, self._marked, self._struck = seed, mistakes, marked, struck
        beginning = "".join(self._text(number) for number in range(min(SAMPLE, self._count)))
        self.fingerprint = digest(
            "instructions", beginning, split, documents, seed, str(mistakes), str(marked), str(struck)
        )

    def __len__(self) -> int:
        return self._count

    def documents(self) -> Iterator[Document]:
        for number in range(self._count):
            yield Document(f"instructions {number}", self._text(number))

    def _text(self, number: int) -> str:
        draw = rng.host(self._seed, f"instructions {self._split}", number)
        kinds = tuple(KINDS)
        one = kinds[below(draw, len(kinds))] if below(draw, 2) else None
        style = draw.random()
        marked, struck = style < self._marked, style > 1 - self._struck
        mistakes = 0.5 if marked or struck else self._mistakes
        lines = []
        for _ in range(6 + below(draw, 5)):
            solved = _drawn(draw, one or kinds[below(draw, len(kinds))], self._split)
            wrong = draw.random() < mistakes
            said = solved.wrong if wrong else solved.answer
            if marked:
                said += NO if wrong else OK
            elif struck and wrong:
                said = _struck(solved)
            lines.append(f"{solved.prompt} {said}\n")
        return "".join(lines)


def _drawn(draw: np.random.Generator, kind: str, split: Split) -> Instruction:
    while True:
        asked = KINDS[kind](draw)
        if split_of(asked.topic) != split:
            continue
        prompt = asked.wordings[below(draw, len(asked.wordings))]
        others = [other for other in (*asked.others, _slip(draw, asked.answer)) if other != asked.answer]
        return Instruction(kind, prompt, asked.answer, others[below(draw, len(others))])


def _slip(draw: np.random.Generator, answer: str) -> str:
    """The answer with one digit or letter written as another, which by chance may be the same; a refusal as it is."""
    if answer == REFUSAL:
        return answer
    i = below(draw, len(answer))
    for alike in (string.digits, string.ascii_lowercase, string.ascii_uppercase):
        if answer[i] in alike:
            return answer[:i] + alike[below(draw, len(alike))] + answer[i + 1 :]
    return answer


def _struck(solved: Instruction) -> str:
    """The right answer, after the first character that was about to be wrong was struck out."""
    answer, wrong = solved.answer, solved.wrong
    i = next((i for i, (a, b) in enumerate(zip(answer, wrong, strict=False)) if a != b), None)
    return answer if i is None else f"{answer[:i]}{wrong[i]}{STRIKE}{answer[i:]}"
