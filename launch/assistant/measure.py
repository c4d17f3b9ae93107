"""How each model of a stack answers held-out instructions: in the way it was trained to, and the base model by example.

found = stack(Path("runs/assistant/seed0"), questions=700)
found["ppo"]["greedy"]["right"]["rate"], found["ppo"]["kl"], found["reward"]["accuracy"]
"""

import functools
from pathlib import Path
from typing import Any

import jax

from gen import mesh as meshes
from gen.data.conversations import Conversation, open_conversations
from gen.data.instructions import instruction
from gen.evals.answers import AnswerConfig, Given, answer, as_told, kl, summary
from gen.sample.choose import Choice
from gen.sample.reader import Reader
from gen.sample.writer import Prompt
from launch import runs
from launch.language import Language
from launch.unclip import places

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
    reference = Language.open(inside[REFERENCE], mesh)
    found: dict[str, Any] = {}
    for name, place in inside.items():
        task = runs.task_name(place)
        if task == "reward":
            found[name] = runs.evaluate(place, pictures=0)["metrics"]
        elif task == "lm":
            found[name] = base(place.resolve(), questions)
        elif task is not None:
            language = reference if name == REFERENCE else Language.open(place, mesh)
            found[name] = _as_trained(language, asked, reference.reader)
    return found


@functools.cache  # which the stacks of all seeds share
def base(place: Path, questions: int) -> dict[str, Any]:
    """How a base model answers by example."""
    language = Language.open(place, meshes.make(meshes.MeshConfig(), jax.devices()))
    return {"greedy": summary(_by_example(language, _asked(questions)))}


def _asked(questions: int) -> tuple[Conversation, ...]:
    return open_conversations("instructions", "test", count=1, held_out=questions).entries


def _as_trained(language: Language, asked: tuple[Conversation, ...], reference: Reader) -> dict[str, Any]:
    assert language.template is not None, "what writes here has learned to converse"
    prompt_of = as_told(language.template, language.tokenizer)
    greedy, drawn = (
        answer(language.writer, asked, AnswerConfig(NEW, choice=Choice(temperature=t)), prompt_of) for t in (0.0, 1.0)
    )
    return {
        "greedy": summary(greedy) | {"kinds": _by_kind(greedy)},
        "drawn": summary(drawn),
        "kl": kl(drawn, reference),
    }


def _by_example(language: Language, asked: tuple[Conversation, ...]) -> list[Given]:
    """A line for each solved instruction, as in the text that the base model was trained on."""
    numbers = {one.name: number for number, one in enumerate(asked)}

    def prompt_of(one: Conversation) -> Prompt:
        number = numbers[one.name]
        kind = instruction(0, number).kind
        shots = (instruction(1, number * SHOTS + i, "train", kind) for i in range(SHOTS))
        return "".join(f"{shot.prompt} {shot.answer}\n" for shot in shots) + one.messages[0].content

    return answer(language.writer, asked, AnswerConfig(NEW, stop=("\n",), batch=64), prompt_of)


def _by_kind(given: list[Given]) -> dict[str, float]:
    """The share of right answers to each kind of instruction."""
    right: dict[str, list[bool]] = {}
    for number, one in enumerate(given):
        right.setdefault(instruction(0, number).kind, []).append(one.right)
    return {kind: sum(own) / len(own) for kind, own in right.items()}
