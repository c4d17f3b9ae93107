"""Texts of a prompt from a trained language model, each with its record.

    record = record_of(language, TextRequest(num=4, new=64), seed=0, made_with={})
    written(language, {**record, "asked": "to be"})        # four dicts: text, tokens, log_p, and the record

A model that was trained on conversations answers the prompt as a user's message; any other continues it.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from gen import config
from gen.pipelines.language import TOKENS, LanguageModel, prompt_of, sampling_params
from gen.sample.generator import Completion, Delta
from gen.sample.sampling_params import SamplingParams
from gen.tokenizers.framing import Framing


@dataclasses.dataclass(frozen=True)
class TextRequest:
    """How `num` texts of a prompt are written: at most `new` tokens each, up to one of `stop`; None and () mean as the
    model's own files say. `sampler` has keys of the sampler and their values, over the model's own."""

    num: int
    new: int | None = None
    stop: tuple[str, ...] = ()
    system: str | None = None
    sampler: tuple[tuple[str, Any], ...] = ()


def record_of(language: LanguageModel, request: TextRequest, seed: int, made_with: Mapping[str, Any]) -> dict[str, Any]:
    """All that texts are made from, but for the prompt."""
    choice = config.to_dict(sampling_params(language, request.sampler))
    usual = language.generation
    stop = list(request.stop or usual.stop)
    said = {"kind": "text", "seed": seed, "num": request.num, "sampler": choice, "stop": stop}
    said |= {"new": request.new or usual.new or TOKENS, "system": request.system}
    if language.framing != Framing.usual(language.tokenizer):
        said["framing"] = config.to_dict(language.framing)
    return {**said, "weights": dict(language.weights), **made_with}


def check_prompt(language: LanguageModel, prompt: str, system: str | None) -> None:
    """Raises ValueError for one that is no Unicode or leaves no room in the context."""
    language.generator.encode(prompt_of(prompt, system, language)[0])


def written(
    language: LanguageModel, record: Mapping[str, Any], show: Callable[[Delta], None] | None = None
) -> list[dict[str, Any]]:
    """All texts of one prompt as they are kept, each with its record."""
    _, _, messages = prompt_of(record["asked"], record["system"], language)
    every = texts(language, record, show)
    return [{"index": index, **text._asdict(), **messages, **record} for index, text in enumerate(every)]


def texts(
    language: LanguageModel, record: Mapping[str, Any], show: Callable[[Delta], None] | None = None
) -> list[Completion]:
    """All texts of one prompt, which its record says how to make."""
    asked, _, _ = prompt_of(record["asked"], record["system"], language)
    how = {name: record[name] for name in ("new", "seed")} | {"copies": record["num"], "stop": tuple(record["stop"])}
    choice = config.build(SamplingParams, record["sampler"], "sampler")
    return language.generator.generate([asked], choice=choice, show=show, **how)
