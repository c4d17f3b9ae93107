"""The few-shot evaluation with readers and writers that know the answer, or know it after enough shots."""

import types

import pytest
from PIL import Image

from gen.evals import fewshot
from gen.evals.fewshot import FewShotConfig, few_shot
from gen.evals.interval import rate, wilson
from gen.evals.puzzles import KINDS, puzzle, split_of
from gen.sample.generator import Completion, Generator
from gen.sample.scorer import Score, Scorer
from gen.tokenizers import Bytes

CFG = FewShotConfig(shots=(0, 1, 3), questions=12, kinds=("addition", "membership"), batch=5)


def answers(kinds=KINDS, count=12):
    return {p.question: p.answer for kind in kinds for p in (puzzle(kind, 0, i) for i in range(count))}


class Knowing(Scorer):
    """Finds the right answer likeliest once it has seen `needed` shots; before, the longest line, as if per token."""

    def __init__(self, needed=0):
        self.needed, self.known, self.prompts = needed, answers(), []

    def score(self, pairs):
        self.prompts += [prompt for prompt, _ in pairs]
        return [Score(self.log_p(*pair), False, len(pair[1])) for pair in pairs]

    def log_p(self, prompt, line):
        assert line.endswith("\n")
        *shots, question = prompt.split(">>> ")[1:]
        right = self.known[f">>> {question}"] == line.strip("\n")
        return 0.0 if right and len(shots) >= self.needed else -1.0


class Saying(Generator):
    """Writes the right answer with a given reason to end."""

    def __init__(self, reason="stop", context=4096):
        self.reason, self.known = reason, answers()
        self.tokenizer, self.model = Bytes(), types.SimpleNamespace(context=context)

    def generate(self, prompts, new, choice, stop):
        assert choice.temperature == 0 and stop == ("\n",) and len(prompts) <= 5
        lines = [self.known[f">>> {prompt.split('>>> ')[-1]}"] for prompt in prompts]
        assert new == 1 + max(map(len, lines))
        return [Completion(p, line, [], [], self.reason) for p, line in zip(prompts, lines, strict=True)]


def rates(result, measure, kind="all"):
    return [r["rate"] for r in result[measure][kind]]


def test_accuracy_is_counted_by_shots_and_a_tie_is_wrong():
    result = few_shot(Knowing(needed=1), Saying(), CFG)
    assert result["shots"] == [0, 1, 3]
    assert rates(result, "choice") == rates(result, "choice", "addition") == [0, 1, 1]
    assert rates(result, "exact") == [1, 1, 1]
    assert result["choice"]["all"][1]["count"] == 24
    assert result["chance"] == {"addition": 0.25, "membership": 0.5, "all": 0.375}


def test_a_line_that_was_cut_off_is_no_answer():
    assert rates(few_shot(Knowing(), Saying("length"), CFG), "exact") == [0, 0, 0]
    assert rates(few_shot(Knowing(), Saying("end"), CFG), "exact") == [1, 1, 1]


def test_shots_come_from_the_training_split_and_are_right():
    reader = Knowing()
    few_shot(reader, Saying(), CFG)
    for prompt in reader.prompts:
        *shots, question = prompt.split(">>> ")[1:]
        assert len(shots) in CFG.shots and split_of(f">>> {question}") == "held_out"
        for shot in shots:
            asked, answer, rest = shot.split("\n")
            assert split_of(f">>> {asked}\n") == "train" and rest == ""
            assert answer == repr(eval(asked))


def test_shots_that_do_not_fit_the_context_are_refused():
    with pytest.raises(ValueError, match="3 shots of 'membership' take .* tokens and the model's context is 60"):
        few_shot(Knowing(), Saying(context=60), FewShotConfig(shots=(3,), questions=2, kinds=("membership",)))


def test_the_curves_are_a_picture(tmp_path):
    fewshot.plot(few_shot(Knowing(), Saying(), CFG), tmp_path / "new" / "curves.png")
    with Image.open(tmp_path / "new" / "curves.png") as picture:
        assert picture.size == (1500, 630)


def test_wilson_is_the_interval_of_the_literature():
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)  # p +- 2 s would be a point
    assert rate(20, 20)["low"] == pytest.approx(1 - 0.1611, abs=1e-4)
    with pytest.raises(ValueError, match="count at least one"):
        wilson(0, 0)
