"""How each model of a stack answers held-out instructions: in the way it was trained to, and the base model by example.

found = stack(Path("runs/assistant/seed0"), questions=700)
found["ppo"]["greedy"]["right"]["rate"], found["ppo"]["kl"], found["reward"]["accuracy"]
"""

import functools
from pathlib import Path
from typing import Any

import jax

from gen import mesh as meshes
from gen.data.conversations import ChatRecord, open_conversations
from gen.data.instructions import instruction
from gen.evals.answers import AnswerConfig, GradedAnswer, answer, as_told, kl, summary
from gen.pipelines.language import LanguageModel
from gen.pipelines.pictures import places
from gen.runs import evaluate as evaluation
from gen.sample.generator import Prompt
from gen.sample.sampling_params import SamplingParams
from gen.sample.scorer import Scorer

NEW = 20  # tokens of an answer, more than any known one has
SHOTS = 2  # solved instructions of the same kind that a base model is shown
REFERENCE = "sft"


def stack(root: Path, questions: int) -> dict[str, Any]:
    """{stage: results}: of those that write, with the best token each time ("greedy") and drawn from the model as it is
    ("drawn"), and "kl" to the fine-tuned model; of a reward model, its metrics on answers of the fine-tuned model.
    """
    mesh = meshes.make(meshes.MeshConfig(), jax.devices())
    asked = _asked(questions)
    inside = places(root)
    reference = LanguageModel.open(inside[REFERENCE], mesh)
    found: dict[str, Any] = {}
    for name, place in inside.items():
        task = evaluation.task_name(place)
        if task == "reward":
            found[name] = evaluation.evaluate(place, pictures=0)["metrics"]
        elif task == "lm":
            found[name] = base(place.resolve(), questions)
        elif task is not None:
            language = reference if name == REFERENCE else LanguageModel.open(place, mesh)
            found[name] = _as_trained(language, asked, reference.scorer)
    return found


@functools.cache  # which the stacks of all seeds share
def base(place: Path, questions: int) -> dict[str, Any]:
    """How a base model answers by example."""
    language = LanguageModel.open(place, meshes.make(meshes.MeshConfig(), jax.devices()))
    return {"greedy": summary(_by_example(language, _asked(questions)))}


def _asked(questions: int) -> tuple[ChatRecord, ...]:
    return open_conversations("instructions", "test", count=1, held_out=questions).entries


def _as_trained(language: LanguageModel, asked: tuple[ChatRecord, ...], reference: Scorer) -> dict[str, Any]:
    assert language.template is not None, "what writes here has learned to converse"
    prompt_of = as_told(language.template, language.tokenizer)
    greedy, drawn = (
        answer(language.generator, asked, AnswerConfig(NEW, choice=SamplingParams(temperature=t)), prompt_of)
        for t in (0.0, 1.0)
    )
    return {
        "greedy": summary(greedy) | {"kinds": _by_kind(greedy)},
        "drawn": summary(drawn),
        "kl": kl(drawn, reference),
    }


def _by_example(language: LanguageModel, asked: tuple[ChatRecord, ...]) -> list[GradedAnswer]:
    """A line for each solved instruction, as in the text that the base model was trained on."""
    numbers = {one.name: number for number, one in enumerate(asked)}

    def prompt_of(one: ChatRecord) -> Prompt:
        number = numbers[one.name]
        kind = instruction(0, number).kind
        shots = (instruction(1, number * SHOTS + i, "train", kind) for i in range(SHOTS))
        return "".join(f"{shot.prompt} {shot.answer}\n" for shot in shots) + one.messages[0].content

    return answer(language.generator, asked, AnswerConfig(NEW, stop=("\n",), batch=64), prompt_of)


def _by_kind(given: list[GradedAnswer]) -> dict[str, float]:
    """The share of right answers to each kind of instruction."""
    right: dict[str, list[bool]] = {}
    for number, one in enumerate(given):
        right.setdefault(instruction(0, number).kind, []).append(one.right)
    return {kind: sum(own) / len(own) for kind, own in right.items()}
