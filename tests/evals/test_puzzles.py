"""Puzzles against Python itself, which evaluates each question."""

import pytest

from gen.evals.puzzles import KINDS, puzzle, split_of


def following(numbers):
    return 2 * numbers[-1] - numbers[-2]


def asked(kind, split="held_out", count=60, seed=0):
    return [puzzle(kind, seed, number, split) for number in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_is_what_python_says_and_the_others_are_not(kind):
    for p in asked(kind):
        expression = p.question.removeprefix(">>> ")
        assert p.question == f">>> {expression.strip()}\n"
        assert p.answer == repr(eval(expression, {"following": following}))
        assert len(set(p.options)) == len(p.options) == (2 if kind == "membership" else 4)
        assert p.options[0] == p.answer and "\n" not in "".join(p.options)


@pytest.mark.parametrize("kind", KINDS)
def test_a_question_is_of_one_split_whatever_the_seed(kind):
    train = {p.question for seed in (0, 1) for p in asked(kind, "train", seed=seed)}
    held_out = {p.question for seed in (0, 2) for p in asked(kind, seed=seed)}
    assert not train & held_out
    assert {split_of(question) for question in held_out} == {"held_out"}
    assert len(held_out) > 60  # many forms, not the same few again


def test_a_puzzle_depends_on_its_seed_kind_and_number_only():
    assert puzzle("sorting", 3, 5) == puzzle("sorting", 3, 5)
    assert len({puzzle("sorting", seed, number).question for seed in (0, 1) for number in range(20)}) == 40


def test_the_right_answer_has_no_tell_in_its_length():
    for kind in KINDS:
        puzzles = asked(kind)
        shortest = sum(len(p.answer) < min(map(len, p.wrong)) for p in puzzles)
        longest = sum(len(p.answer) > max(map(len, p.wrong)) for p in puzzles)
        if kind != "membership":
            assert max(shortest, longest) < len(puzzles) / 3, kind


def test_another_kind_is_answered_with_those_that_exist():
    with pytest.raises(ValueError, match="no kind of puzzle 'chess'; there are addition"):
        puzzle("chess", 0, 0)
