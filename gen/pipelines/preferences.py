"""Preferences without people: a model answers prompts whose answers are known, and right answers rank above wrong ones.

    rank(language, RankConfig("instructions", new=20), "train", Path("preferences.jsonl"))

What is written is what a reward model and DPO read: a line for each prompt that got a right answer and a wrong one.
In a stack this is a stage: `{"rank": {...}, "upstream": {"model": "sft"}}` writes preferences.jsonl and held_out.jsonl.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax

from gen import config, exit_codes, files
from gen import mesh as meshes
from gen.bounds import Bounded, Count, NotNegative, Seed
from gen.data.conversations import KINDS, open_conversations
from gen.data.kinds import state_rule
from gen.data.rankings import to_line
from gen.evals.answers import AnswerConfig, GradedAnswer, answer, as_told
from gen.messages import say
from gen.pipelines.language import LanguageModel
from gen.runs import reader
from gen.sample.sampling_params import SamplingParams
from gen.training import legacy
from gen.training.run_dir import RunDir

PREFERENCES, HELD_OUT = "preferences.jsonl", "held_out.jsonl"


@dataclasses.dataclass(frozen=True)
class RankConfig(Bounded):
    """`source` is a kind in gen.data.conversations with its `options`; each prompt gets `answers` of at most `new`
    tokens, drawn at `temperature`. `known` says where the right answer is put beside them: in what is learned from, or
    in what is held out as well, which then is no longer made of the model's own answers alone."""

    source: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    new: Count = 64
    answers: Count = 4
    temperature: NotNegative = 1.0
    known: Literal["nowhere", "train", "everywhere"] = "nowhere"

    def __post_init__(self) -> None:
        super().__post_init__()
        state_rule(self, KINDS)


@dataclasses.dataclass(frozen=True)
class RankStage(Bounded):
    """A stage of a stack; `upstream.model` is the run that answers."""

    rank: RankConfig
    upstream: dict[str, str]
    seed: Seed = 0


STAGE = RankStage


def rank(language: LanguageModel, cfg: RankConfig, split: str, seed: int, path: Path) -> tuple[int, int]:
    """Writes the file, whole or not at all; returns how many prompts there were and how many lines they made."""
    if language.template is None:
        raise ValueError("the model that answers has no template: train it on conversations first (task chat)")
    conversations = open_conversations(cfg.source, split, **cfg.options)
    choice = SamplingParams(temperature=cfg.temperature)
    how = AnswerConfig(new=cfg.new, copies=cfg.answers, choice=choice, seed=seed)
    asked = as_told(language.template, language.tokenizer)
    given = answer(language.generator, conversations.entries, how, asked)
    groups = [given[i : i + cfg.answers] for i in range(0, len(given), cfg.answers)]
    known = cfg.known == "everywhere" or cfg.known == split
    lines = [line for group in groups if (line := ranked(group, known))]
    if not lines:
        raise ValueError(f"no prompt of {conversations.name} got both a right and a wrong answer; nothing to prefer")
    files.write_text(path, "".join(lines))
    return len(groups), len(lines)


def ranked(group: Sequence[GradedAnswer], known: bool) -> str:
    """The answers to one prompt as a line, or "" where all are right or all are wrong; blank ones say nothing."""
    *messages, answer = group[0].conversation.messages
    right = {one.written.text: one.right for one in group if one.written.text.strip()}
    if known:
        right[answer.content] = True
    if len(set(right.values())) < 2:
        return ""
    return to_line(messages, list(right), [0 if good else 1 for good in right.values()])


def stage(data: Mapping[str, Any], place: Path) -> int:
    """Runs the stage of a stack, unless it is done."""
    cfg, run = config.build(RankStage, data, ""), RunDir(place)
    if run.config_json.exists():
        begun = legacy.taken_over(data, config.to_dict(cfg), run.config())
        cfg = config.build(RankStage, config.merge(data, begun), "")
    run.claim(config.to_dict(cfg), ())
    if not (place / HELD_OUT).exists():
        language = LanguageModel.open(cfg.upstream["model"], meshes.make(meshes.MeshConfig(), jax.devices()))
        # first, as the stage is done with its last file
        reader.record(run, {"model": {"run": "model", "path": cfg.upstream["model"], **language.weights}})
        for split, name in (("train", PREFERENCES), ("test", HELD_OUT)):
            prompts, lines = rank(language, cfg.rank, split, cfg.seed, place / name)
            say(f"rank: {lines} of {prompts} prompts got right and wrong answers: {place / name}")
    return exit_codes.DONE
