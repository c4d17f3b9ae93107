"""Further evaluations of a language model, by name: what launch.evaluate --also=NAMES runs.

compression     bits per byte of gzip and xz on the same held-out text
fewshot         accuracy on built-in puzzles by the number of examples in the prompt, with a curve
syntax          the share of written Python that parses
embedding       which half of a held-out document belongs to which, by pooled states
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gen import config, files
from gen.data.text import documents
from gen.evals.compression import bits_per_byte
from gen.evals.embedding import embedding, halves
from gen.evals.fewshot import FewShotConfig, few_shot, plot
from gen.evals.syntax import SyntaxConfig, syntax
from gen.pipelines.language import LanguageModel

DOCUMENTS = 256  # held-out ones at most, where the number says nothing about the model

type Lines = dict[str, str]  # what a table shows


def check(names: Sequence[str]) -> None:
    """Raises ValueError for an evaluation that does not exist."""
    for name in names:
        if name not in SUITE:
            raise ValueError(f"--also={name}: there is no such evaluation; {config.nearest(name, SUITE)}")


def check_without_data(place: Path, names: Sequence[str]) -> None:
    """Raises ValueError where a model that is no run is asked for what needs held-out data."""
    needed = [name for name in names if name != "fewshot"]
    if needed or not names:
        what = f"--also={needed[0]} needs" if needed else "its metrics need"
        raise ValueError(
            f"{place} is a model in the Hugging Face layout, not a run, and has no held-out data, which {what}:"
            f" make it a run with launch.convert --from={place} --to=DIR, or measure --also=fewshot"
        )


def run(name: str, language: LanguageModel, out: Path) -> tuple[dict[str, Any], Lines]:
    """The results of one evaluation as data, and as lines of a table; pictures go to `out`."""
    return SUITE[name](language, out)


def held_out(language: LanguageModel, split: str | None = None) -> list[str]:
    """The documents of the run's held-out split, or of another."""
    assert language.run is not None, "a run has data"
    cfg = language.run.data
    return [document.text for document in documents(cfg, split or cfg.eval_split)]


def _compression(language: LanguageModel, out: Path) -> tuple[dict[str, Any], Lines]:
    assert language.run is not None
    bits = bits_per_byte(held_out(language), held_out(language, language.run.data.train_split))
    return bits, {f"{name}, bits per byte": f"{value:.4f}" for name, value in bits.items()}


def _fewshot(language: LanguageModel, out: Path) -> tuple[dict[str, Any], Lines]:
    result = few_shot(language.scorer, language.generator, FewShotConfig())
    with files.replacing(files.make_folder(out) / "fewshot.png") as partial:
        plot(result, partial)
    lines = {"chance": f"{result['chance']['all']:.3f}"}
    for i, shots in enumerate(result["shots"]):
        both = (_share(result[measure]["all"][i]) for measure in ("choice", "exact"))
        lines[f"{shots} shots, likeliest / written"] = " / ".join(both)
    return result, lines


def _syntax(language: LanguageModel, out: Path) -> tuple[dict[str, Any], Lines]:
    cfg = SyntaxConfig(new=min(SyntaxConfig.new, language.model.context // 2))
    result = syntax(language.generator, held_out(language), cfg)
    lines = {f"{where}, {who}": _share(rate) for where, rates in result.items() for who, rate in rates.items()}
    return result, lines


def _embedding(language: LanguageModel, out: Path) -> tuple[dict[str, Any], Lines]:
    result = embedding(language.scorer, halves(held_out(language)[:DOCUMENTS]))
    measured = {name: result[name] for name in ("model", "centred", "tf_idf", "chance")}
    lines = {f"{name}, top 1 / reciprocal rank": f"{m['top_1']:.3f} / {m['mrr']:.3f}" for name, m in measured.items()}
    return result, lines


def _share(rate: dict[str, Any]) -> str:
    return f"{rate['rate']:.3f} ({rate['low']:.3f} to {rate['high']:.3f})"


SUITE: dict[str, Callable[[LanguageModel, Path], tuple[dict[str, Any], Lines]]] = {
    "compression": _compression,
    "fewshot": _fewshot,
    "syntax": _syntax,
    "embedding": _embedding,
}
