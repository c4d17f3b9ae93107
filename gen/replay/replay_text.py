"""Texts of launch.sample from their records, line by line."""

import dataclasses
from pathlib import Path
from typing import Any

import jax

from gen import config
from gen import mesh as meshes
from gen.pipelines import write
from gen.pipelines.language import LanguageModel
from gen.replay import comparison, record
from gen.sample.sampling_params import SamplingParams
from gen.tokenizers.framing import Framing


@dataclasses.dataclass(frozen=True)
class TextRecord:
    """A text's record: what was asked for, by which weights, and what came."""

    asked: str
    system: str | None
    num: int
    index: int
    new: int
    seed: int
    sampler: SamplingParams
    stop: tuple[str, ...]
    weights: record.Weights
    made_with: dict[str, Any]
    text: str
    tokens: tuple[int, ...]
    log_p: tuple[float, ...]
    framing: Framing | None = None  # None: the usual one of models trained by gen

    def __post_init__(self):
        record.check_place(self.seed, self.num, self.index)


def replay(path: Path, workdir: Path, only: int | None) -> int:
    """Writes the texts of a file again and compares them, their tokens and their probabilities; returns an exit status.

    Raises ValueError for a line that is no record, or whose weights are gone.
    """
    lines = record.read_text(path).splitlines()
    if only is not None and only >= len(lines):
        raise ValueError(f"--line={only}: {path} has {len(lines)} lines")
    mesh = meshes.make(meshes.MeshConfig(), jax.devices())
    opened: dict[tuple[record.Weights, Framing | None], LanguageModel] = {}
    if not lines:
        raise ValueError(f"{path} holds no texts; give a file that launch.sample wrote")
    code = 0
    for number in range(len(lines)) if only is None else [only]:
        where = f"{path}, line {number}"
        said = record.build(TextRecord, record.parse(lines[number], where), where)
        key = said.weights, said.framing
        if key not in opened:
            language = LanguageModel.open(workdir, mesh, said.weights.step)
            comparison.check_weights(where, said.weights, language.weights)
            opened[key] = language.framed(said.framing or Framing.usual(language.tokenizer))
        code = line(where, said, opened[key], mesh) or code
    return code


def line(where: str, said: TextRecord, language: LanguageModel, mesh: jax.sharding.Mesh) -> int:
    changed = comparison.changed(said.made_with, dict(mesh.shape))
    now = write.texts(language, config.to_dict(said))[said.index]
    if now.text != said.text:
        return comparison.differs(f"{where}: other text: {said.text[:60]!r} then, {now.text[:60]!r} now", changed)
    if now.tokens != [*said.tokens] or now.log_p != [*said.log_p]:
        apart = max((abs(a - b) for a, b in zip(now.log_p, said.log_p, strict=False)), default=0.0)
        return comparison.differs(f"{where}: the same text; log-probabilities differ by at most {apart:.3g}", changed)
    return comparison.same(f"{where}: the same {len(now.tokens)} tokens and log-probabilities, bit for bit", changed)
