r"""Learning from the prompt (GPT-3, arXiv 2005.14165): accuracy on puzzles by the number of examples shown before.

    >>> 3 + 4\n7\n>>> 1 + 1\n2\n>>> 5 + 2\n                 two shots and a question

    result = few_shot(reader, writer, FewShotConfig(questions=100))
    result["choice"]["all"][0]                              # {"rate": 0.31, "low": 0.28, "high": 0.34, ...}: no shots
    plot(result, Path("few_shot.png"))

Two measures. "choice": the right answer is likelier than each wrong one. What is compared is the probability of the
whole line with its line break, not divided by its length: the lines exclude each other, so that the likeliest is what
the model would answer if it had to choose, while an average over tokens would favour long lines, whose ends follow
from their beginnings. A tie counts as wrong. "exact": what the model writes, the best token each time, is the answer.

Shots are drawn from the training split of the puzzles, questions from the held-out one; the shots of a question are
the first of the same eight (or whatever is the most), and no two questions share theirs.
"""

import dataclasses
from pathlib import Path
from typing import Any

from gen.bounds import Bounded, Count, Natural, Seed
from gen.evals.interval import rate
from gen.evals.puzzles import KINDS, Puzzle, puzzle
from gen.sample.generator import Generator
from gen.sample.sampling_params import SamplingParams
from gen.sample.scorer import Scorer
from gen.tokenizers.base import split


@dataclasses.dataclass(frozen=True)
class FewShotConfig(Bounded):
    """`questions` of each kind are asked after each number of `shots`; `batch` answers are written at a time."""

    shots: tuple[Natural, ...] = (0, 1, 2, 4, 8)
    questions: Count = 50
    kinds: tuple[str, ...] = tuple(KINDS)
    seed: Seed = 0
    batch: Count = 32


def few_shot(reader: Scorer, writer: Generator, cfg: FewShotConfig) -> dict[str, Any]:
    """{"shots": [...], "chance": {kind: share}, "choice" and "exact": {kind: [a rate for each number of shots]}}.

    Beside the kinds there is "all". Raises ValueError when the shots do not fit the model's context.
    """
    asked = {kind: [puzzle(kind, cfg.seed, i) for i in range(cfg.questions)] for kind in cfg.kinds}
    right: dict[str, dict[str, list[int]]] = {"choice": {}, "exact": {}}
    for kind, puzzles in asked.items():
        contexts = [[_prompt(p, i, count, cfg) for i, p in enumerate(puzzles)] for count in cfg.shots]
        for count, prompts in zip(cfg.shots, contexts, strict=True):
            _check(writer, kind, count, prompts, puzzles)
        right["choice"][kind] = [chosen(reader, prompts, puzzles) for prompts in contexts]
        right["exact"][kind] = [written(writer, prompts, puzzles, cfg.batch) for prompts in contexts]
    chance = {kind: sum(1 / len(p.options) for p in puzzles) / len(puzzles) for kind, puzzles in asked.items()}
    chance["all"] = sum(chance.values()) / len(chance)
    return {"shots": list(cfg.shots), "chance": chance} | {name: _rates(r, cfg.questions) for name, r in right.items()}


def chosen(reader: Scorer, prompts: list[str], puzzles: list[Puzzle]) -> int:
    """How many right answers are likelier than all wrong ones."""
    pairs = [(prompt, f"{option}\n") for prompt, p in zip(prompts, puzzles, strict=True) for option in p.options]
    log_p = iter([score.log_p for score in reader.score(pairs)])
    right = 0
    for p in puzzles:
        own, *others = (next(log_p) for _ in p.options)
        right += own > max(others)
    return right


def written(writer: Generator, prompts: list[str], puzzles: list[Puzzle], batch: int) -> int:
    """How many answers the model writes, letter for letter."""
    right = 0
    for first in range(0, len(prompts), batch):
        part = puzzles[first : first + batch]
        asked = prompts[first : first + batch]
        answers = [f"{p.answer}\n" for p in part]
        # as they are behind the question: a word may be more tokens there than by itself
        new = max(len(split(writer.tokenizer, *pair)[1]) for pair in zip(asked, answers, strict=True))
        texts = writer.generate(asked, new=new, choice=SamplingParams(temperature=0.0), stop=("\n",))
        # a line that was cut off is no answer, even where it agrees so far
        right += sum(w.reason in ("stop", "end") and w.text == p.answer for w, p in zip(texts, part, strict=True))
    return right


def _prompt(asked: Puzzle, number: int, count: int, cfg: FewShotConfig) -> str:
    first = number * max(cfg.shots)
    shots = [puzzle(asked.kind, cfg.seed, first + i, "train").text for i in range(count)]
    return "".join(shots) + asked.question


def _check(writer: Generator, kind: str, count: int, prompts: list[str], puzzles: list[Puzzle]) -> None:
    texts = [f"{prompt}{max(p.options, key=len)}\n" for prompt, p in zip(prompts, puzzles, strict=True)]
    longest = 1 + max(len(tokens) for tokens in writer.tokenizer.encode_batch(texts))
    if longest > writer.model.context:
        raise ValueError(
            f"{count} shots of {kind!r} take {longest} tokens and the model's context is {writer.model.context};"
            " ask with fewer shots"
        )


def _rates(right: dict[str, list[int]], questions: int) -> dict[str, list[dict[str, Any]]]:
    rates = {kind: [rate(n, questions) for n in counts] for kind, counts in right.items()}
    total = [rate(sum(counts), questions * len(right)) for counts in zip(*right.values(), strict=True)]
    return {"all": total, **rates}


def plot(result: dict[str, Any], path: Path) -> None:
    """Writes the curves of both measures as a picture: all kinds with their interval, each kind, and chance."""
    from matplotlib.figure import Figure  # half a second, which programs that draw nothing need not wait

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    places = range(len(result["shots"]))
    names = {"choice": "the right answer is the likeliest", "exact": "the answer is written"}
    for axes, (name, title) in zip(figure.subplots(1, 2, sharey=True), names.items(), strict=True):
        for kind, rates in result[name].items():
            style = {"color": "black", "linewidth": 2.2, "zorder": 3} if kind == "all" else {"linewidth": 0.9}
            axes.plot(places, [r["rate"] for r in rates], marker="o", markersize=3, label=kind, **style)
        total = result[name]["all"]
        axes.fill_between(places, [r["low"] for r in total], [r["high"] for r in total], color="black", alpha=0.15)
        axes.set(xlabel="examples in the prompt", ylim=(0, 1), title=title)
        axes.set_xticks(places, result["shots"])
    left, right = figure.axes
    left.set(ylabel="accuracy")
    left.axhline(result["chance"]["all"], color="black", linestyle="--", linewidth=0.8, label="chance")
    handles, labels = left.get_legend_handles_labels()
    right.legend(handles, labels, frameon=False, fontsize="small", bbox_to_anchor=(1, 1), loc="upper left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, format="png")
