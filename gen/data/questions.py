"""What instructions ask: sums, words and numbers to turn round, sort, count, change and choose from, and what nobody
can answer, all so short that a small model of bytes can learn them.

    KINDS["sorting"](draw)
        topic     "sort 30 4 12"                            what is asked, whatever the words
        wordings  ("Sort 30 4 12.", "Put 30 4 12 in order.", "Order 30 4 12.")
        answer    "4 12 30"
        others    ["12 4 30", "30 4 12", "30 12 4"]         answers that could be taken for right; some may be right

Answers are computed from the numbers and words that the question is written from. What cannot be answered is asked in
the words of what can, so that no wording tells which it is.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

type Draw = np.random.Generator

REFUSAL = "I cannot say."


class Asked(NamedTuple):
    """A question in its wordings, its answer, and others."""

    topic: str
    wordings: tuple[str, ...]
    answer: str
    others: list[str]


# ---- what questions are made of


def below(draw: Draw, high: int) -> int:
    """A number from 0 to `high` - 1; three times as fast as draw.integers, which a corpus feels."""
    return int(draw.random() * high)


def _word(draw: Draw, low: int = 3, high: int = 4) -> str:
    """Letters that can be spoken, consonants and vowels in turn."""
    length = low + below(draw, high - low + 1)
    return "".join("aeiou"[below(draw, 5)] if i % 2 else "bcdfghklmnprstvz"[below(draw, 16)] for i in range(length))


def _different[T](draw: Draw, count: int, make: Callable[[], T]) -> list[T]:
    found: list[T] = []
    while len(found) < count:
        if (new := make()) not in found:
            found.append(new)
    return found


def _numbers(draw: Draw, low: int = 3, high: int = 4) -> list[int]:
    """From `low` to `high` different numbers below 10."""
    return _different(draw, low + below(draw, high - low + 1), lambda: below(draw, 10))


def _row(items: list[int]) -> str:
    return " ".join(map(str, items))


def _near(value: int) -> list[str]:
    """Numbers beside a number, none below 0."""
    return [str(other) for other in (value + 1, value - 1, value + 10, value - 10) if other >= 0]


def _swapped[T: (str, list[int])](draw: Draw, items: T) -> T:
    """The letters or numbers with two different neighbours exchanged; without such, as they are."""
    places = [i for i in range(len(items) - 1) if items[i] != items[i + 1]]
    if not places:
        return items
    i = places[below(draw, len(places))]
    return items[:i] + items[i + 1 : i + 2] + items[i : i + 1] + items[i + 2 :]


# ---- the kinds


def _arithmetic(draw: Draw) -> Asked:
    """Of a number of two digits and 1, 2 or 3, without a carry: its tens stay."""
    b = 1 + below(draw, 3)
    a = 10 * (1 + below(draw, 9)) + below(draw, 10 - b)
    total = a + b
    if below(draw, 2):
        wordings = (f"Add {a} and {b}.", f"What is {a} plus {b}?", f"{a} + {b} =")
        return Asked(f"add {min(a, b)} {max(a, b)}", wordings, str(total), _near(total))
    wordings = (f"Subtract {b} from {total}.", f"What is {total} minus {b}?", f"{total} - {b} =")
    return Asked(f"subtract {total} {b}", wordings, str(a), _near(a))


def _reversing(draw: Draw) -> Asked:
    if below(draw, 2):
        word = _word(draw)
        given, back, near = word, word[::-1], _swapped(draw, word[::-1])
    else:
        numbers = _numbers(draw)
        given, back, near = _row(numbers), _row(numbers[::-1]), _row(_swapped(draw, numbers[::-1]))
    wordings = (f"Reverse {given}.", f"Write {given} backwards.", f"{given} in reverse?")
    return Asked(f"reverse {given}", wordings, back, [given, near])


def _sorting(draw: Draw) -> Asked:
    numbers = _numbers(draw)
    ranked = sorted(numbers)
    given = _row(numbers)
    wordings = (f"Sort {given}.", f"Put {given} in order.", f"Order {given}.")
    return Asked(f"sort {given}", wordings, _row(ranked), [_row(_swapped(draw, ranked)), given, _row(ranked[::-1])])


def _counting(draw: Draw) -> Asked:
    """How long something is: letters of a word, or numbers in a row, whatever their digits."""
    if below(draw, 2):
        what, given = "letters", _word(draw, 2, 5)
        count = len(given)
    else:
        numbers = _numbers(draw, 2, 4)
        what, given, count = "numbers", _row(numbers), len(numbers)
    wordings = (f"Count the {what}: {given}.", f"How many {what} in {given}?", f"{given}: how many {what}?")
    return Asked(f"count {given}", wordings, str(count), _near(count)[:2])


def _copying(draw: Draw) -> Asked:
    wordings: tuple[str, ...]
    change = below(draw, 3)
    if change == 2:
        *numbers, new = _numbers(draw, 4, 4)
        old, given = numbers[below(draw, len(numbers))], _row(numbers)
        changed = [new if number == old else number for number in numbers]
        wordings = (f"Replace {old} by {new} in {given}.", f"In {given} write {new} for {old}.")
        return Asked(f"replace {old} {new} {given}", wordings, _row(changed), [given, _row(_swapped(draw, changed))])
    word = _word(draw)
    near = _swapped(draw, word)
    if change == 0:
        wordings = (f"Write {word} in capitals.", f"{word} in capitals?", f"Capitals for {word}.")
        return Asked(f"capitals {word}", wordings, word.upper(), [word, near.upper()])
    wordings = (f"Write {word} twice.", f"{word} twice?")
    return Asked(f"twice {word}", wordings, f"{word} {word}", [word, f"{word} {near}"])


def _choosing(draw: Draw) -> Asked:
    which = ("largest", "smallest", "first", "last")[below(draw, 4)]
    if which in ("first", "last") and below(draw, 2):
        items = _different(draw, 3, lambda: _word(draw, 3, 3))
    else:
        items = [str(number) for number in _numbers(draw)]
    chosen = {"first": items[0], "last": items[-1], "largest": max(items), "smallest": min(items)}[which]
    given = " ".join(items)
    wordings = (f"The {which} of {given}?", f"Name the {which}: {given}.", f"Pick the {which}: {given}.")
    # another kind asks for the first and the last by number, and the same question belongs in the same split
    topic = {"first": "number 1", "last": f"number {len(items)}"}.get(which, which)
    return Asked(f"{topic} of {given}", wordings, chosen, items)


# ---- what may have no answer; each half of the time


def _dividing(draw: Draw, can: bool) -> Asked:
    """By 1, by 10 or by nothing: whoever can copy can divide."""
    by, quotient = (1, 10)[below(draw, 2)], 1 + below(draw, 99)
    a, b = by * quotient, by if can else 0
    wordings = (f"Divide {a} by {b}.", f"What is {a} divided by {b}?", f"{a} / {b} =")
    guesses = _near(quotient)[:2] if can else ["0", str(a)]
    return Asked(f"divide {a} {b}", wordings, str(quotient) if can else REFUSAL, guesses)


def _numbered(draw: Draw, can: bool) -> Asked:
    if below(draw, 2):
        noun, given = "letter", _word(draw)
        items = list(given)
    else:
        noun, items = "number", [str(number) for number in _numbers(draw)]
        given = " ".join(items)
    place = below(draw, len(items)) if can else len(items) + below(draw, 2)
    asked = f"{noun} {place + 1} of {given}"
    wordings = (f"What is {asked}?", f"Write {asked}.", f"{asked.capitalize()}?")
    return Asked(asked, wordings, items[place] if can else REFUSAL, items)


def _following(draw: Draw, can: bool) -> Asked:
    words = _different(draw, 3, lambda: _word(draw, 3, 3))
    place = below(draw, 2) if can else 2
    word, given = words[place], " ".join(words)
    wordings = (f"Next after {word}: {given}?", f"After {word} in {given}?")
    return Asked(f"after {word} in {given}", wordings, words[place + 1] if can else REFUSAL, words)


def _refusing(draw: Draw) -> Asked:
    ask = (_dividing, _numbered, _following)[below(draw, 3)]
    asked = ask(draw, can=bool(below(draw, 2)))
    return asked._replace(others=[REFUSAL, *asked.others])


KINDS: dict[str, Callable[[Draw], Asked]] = {
    "arithmetic": _arithmetic,
    "reversing": _reversing,
    "sorting": _sorting,
    "counting": _counting,
    "copying": _copying,
    "choosing": _choosing,
    "refusing": _refusing,
}
