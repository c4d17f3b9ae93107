r"""Small questions with one right answer, written as Python's prompt shows them, without end and without a data set.

    puzzle("sorting", seed=0, number=7)
        question  ">>> sorted([3, 1, 2])\n"         answer  "[1, 2, 3]"         wrong  ("[1, 2, 4]", ...)

A puzzle is a function of (kind, seed, number, split). Answers are computed from the numbers and words that the question
is written from; no text is evaluated. A question's split is a hash of its text, so that what a model was trained on
is never asked, whatever the seeds.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from gen import rng

type Split = Literal["train", "held_out"]
type Draw = np.random.Generator

WRONG = 3  # other answers to choose from, where there are as many


class Puzzle(NamedTuple):
    """A question that ends its line, the line that answers it, and up to three lines of the same form that do not."""

    kind: str
    question: str
    answer: str
    wrong: tuple[str, ...]

    @property
    def text(self) -> str:
        """Question and answer, as a shot of a prompt and for training."""
        return f"{self.question}{self.answer}\n"

    @property
    def options(self) -> tuple[str, ...]:
        """The right answer, then the others."""
        return (self.answer, *self.wrong)


class PuzzleQuestion(NamedTuple):
    """What a kind draws: an expression, its value, and values to take wrong answers from, the best first."""

    expression: str
    value: Any
    others: list[Any]


def puzzle(kind: str, seed: int, number: int, split: Split = "held_out") -> Puzzle:
    """Raises ValueError for a kind that does not exist."""
    if kind not in KINDS:
        raise ValueError(f"there is no kind of puzzle {kind!r}; there are {', '.join(KINDS)}")
    draw = rng.host(seed, f"puzzle {kind}", number)
    while True:
        asked = KINDS[kind](draw)
        question = f">>> {asked.expression}\n"
        if split_of(question) == split:
            answer = repr(asked.value)
            others = dict.fromkeys(repr(other) for other in asked.others)
            return Puzzle(kind, question, answer, tuple(x for x in others if x != answer)[:WRONG])


def split_of(question: str) -> Split:
    """A quarter of all questions is held out."""
    return "held_out" if hashlib.sha256(question.encode()).digest()[0] < 64 else "train"


# ---- what questions are made of


def _numbers(draw: Draw, low: int = 3, high: int = 5) -> list[int]:
    """A few different numbers below 100, not in order."""
    while True:
        numbers = [int(n) for n in draw.choice(100, draw.integers(low, high + 1), replace=False)]
        if numbers != sorted(numbers):
            return numbers


def _word(draw: Draw) -> str:
    """Two or three syllables."""
    syllables = draw.integers(2, 4)
    return "".join("bcdfghklmnprstvz"[draw.integers(16)] + "aeiou"[draw.integers(5)] for _ in range(syllables))


def _near(draw: Draw, value: int) -> list[int]:
    """Numbers beside a number, none below 0."""
    return [value + int(step) for step in draw.permutation([-10, -2, -1, 1, 2, 10]) if value + step >= 0]


def _changed(draw: Draw, numbers: list[int]) -> list[int]:
    """One of the numbers is another, one that would stand at the same place in order."""
    at = draw.integers(len(numbers))
    return [n if i != at else n + (1 if n + 1 not in numbers else -1) for i, n in enumerate(numbers)]


def _misspelt(draw: Draw, word: str) -> list[str]:
    """The word with two neighbours swapped, at each place in turn."""
    swapped = [word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)]
    return [swapped[i] for i in draw.permutation(len(swapped))]


# ---- the kinds


def _addition(draw: Draw) -> PuzzleQuestion:
    a, b = (int(n) for n in draw.integers(0, 100, 2))
    return PuzzleQuestion(f"{a} + {b}", a + b, _near(draw, a + b))


def _subtraction(draw: Draw) -> PuzzleQuestion:
    b, a = sorted(int(n) for n in draw.integers(0, 100, 2))
    return PuzzleQuestion(f"{a} - {b}", a - b, _near(draw, a - b))


def _copying(draw: Draw) -> PuzzleQuestion:
    numbers = _numbers(draw)
    return PuzzleQuestion(
        repr(numbers), numbers, [numbers[::-1], _changed(draw, numbers), sorted(numbers), numbers[:-1]]
    )


def _reversing(draw: Draw) -> PuzzleQuestion:
    numbers = _numbers(draw)
    back = numbers[::-1]
    return PuzzleQuestion(f"{numbers}[::-1]", back, [numbers, _changed(draw, back), sorted(numbers), back[:-1]])


def _sorting(draw: Draw) -> PuzzleQuestion:
    numbers = _numbers(draw)
    ranked = sorted(numbers)
    others = [_changed(draw, ranked), numbers, ranked[::-1], ranked[:-1]]
    return PuzzleQuestion(f"sorted({numbers})", ranked, others)


def _largest(draw: Draw) -> PuzzleQuestion:
    numbers = _numbers(draw)
    rest = sorted(numbers)[:-1]
    return PuzzleQuestion(f"max({numbers})", max(numbers), [*rest[::-1], *_near(draw, max(numbers))])


def _first(draw: Draw) -> PuzzleQuestion:
    numbers = _numbers(draw)
    return PuzzleQuestion(f"{numbers}[0]", numbers[0], [numbers[-1], *numbers[1:-1], *_near(draw, numbers[0])])


def _counting(draw: Draw) -> PuzzleQuestion:
    two = [int(n) for n in draw.choice(10, 2, replace=False)]
    numbers = [two[i] for i in draw.integers(0, 2, draw.integers(4, 8))]
    count = numbers.count(two[0])
    return PuzzleQuestion(f"{numbers}.count({two[0]})", count, _near(draw, count))


def _membership(draw: Draw) -> PuzzleQuestion:
    numbers = _numbers(draw)
    inside = bool(draw.integers(2))
    outside = [n for n in range(100) if n not in numbers]
    asked = numbers[draw.integers(len(numbers))] if inside else outside[draw.integers(len(outside))]
    return PuzzleQuestion(f"{asked} in {numbers}", inside, [not inside])


def _next(draw: Draw) -> PuzzleQuestion:
    start, step = int(draw.integers(0, 100)), int(draw.integers(1, 10))
    numbers = [start + i * step for i in range(5)]
    return PuzzleQuestion(f"following({numbers[:-1]})", numbers[-1], _near(draw, numbers[-1]))


def _upper(draw: Draw) -> PuzzleQuestion:
    word = _word(draw)
    return PuzzleQuestion(f"{word!r}.upper()", word.upper(), [other.upper() for other in _misspelt(draw, word)])


def _joining(draw: Draw) -> PuzzleQuestion:
    one, two = _word(draw), _word(draw)
    return PuzzleQuestion(f"{one!r} + {two!r}", one + two, [two + one, *_misspelt(draw, one + two)])


KINDS: dict[str, Callable[[Draw], PuzzleQuestion]] = {
    "addition": _addition,
    "subtraction": _subtraction,
    "copying": _copying,
    "reversing": _reversing,
    "sorting": _sorting,
    "largest": _largest,
    "first": _first,
    "counting": _counting,
    "membership": _membership,
    "next": _next,
    "upper": _upper,
    "joining": _joining,
}
