"""What is to be sampled: every prompt by every seed and every setting, some samples of each; and who makes which.

settings = vary(["decoder.guidance_scale=1,2", "prior.steps=8,16"])       # four dicts
items = expand(["a seven", "a two"], [0, 1], settings)
mine = share(items, process=1, processes=4)
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

type Settings = dict[str, str]  # sampler keys and values, as they are typed


class SampleRequest(NamedTuple):
    """Some samples of one prompt by one seed and one setting."""

    prompt: str
    seed: int
    settings: Settings

    @property
    def label(self) -> str:
        """What tells a column of a grid from the others."""
        return " ".join([f"seed {self.seed}", *(f"{key}={value}" for key, value in self.settings.items())])


def vary(given: Sequence[str]) -> list[Settings]:
    """Every combination of KEY=VALUE,VALUE,... Raises ValueError for one that is not of that form, or a key twice."""
    choices: dict[str, list[str]] = {}
    for text in given:
        key, equals, values = text.partition("=")
        every = [value.strip() for value in values.split(",")]
        if not (key and equals and all(every)):
            raise ValueError(f"--vary={text} is not KEY=VALUE,VALUE,..., as decoder.guidance_scale=1,2,4")
        if key in choices:
            raise ValueError(f"--vary={text}: {key} is varied already; give all its values at once")
        choices[key] = list(dict.fromkeys(every))
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


def expand(prompts: Sequence[str], seeds: Sequence[int], settings: Sequence[Settings]) -> list[SampleRequest]:
    """In an order in which what compiles alike comes together."""
    return [SampleRequest(prompt, seed, one) for one in settings for seed in seeds for prompt in prompts]


def share(items: Sequence[SampleRequest], process: int, processes: int) -> list[SampleRequest]:
    """Those of one of several processes, which know nothing of each other: all of them together make each once."""
    return list(items[process::processes])
