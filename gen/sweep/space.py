"""Sweeps put together: lists of overrides, a dict of dotted config keys for each trial, which a config's `sweep` gives.

def sweep():
    return product(over("optim.lr", 1e-3, 3e-3), over("model.transformer.width", 32, 64), over("seed", 0, 1))

def sweep_random():
    return draws(20, log_uniform("optim.lr", 1e-4, 1e-2), uniform("optim.weight_decay", 0.0, 0.2), seed=0)

A function that yields dicts does as well. Drawn trials do not change when more of them are asked for.
"""

import math
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

type Overrides = dict[str, Any]
type Draw = Callable[[Callable[[str], float]], Overrides]

DIGITS = 4  # of a drawn number: enough to tell trials apart, few enough to type


def over(key: str, *values: Any) -> list[Overrides]:
    """One key, a trial for each value."""
    return [{key: value} for value in values]


def product(*sweeps: Iterable[Overrides]) -> list[Overrides]:
    """Every combination, of which the last varies fastest. Raises ValueError where two set the same key."""
    trials: list[Overrides] = [{}]
    for sweep in map(list, sweeps):
        trials = [_union(trial, more) for trial in trials for more in sweep]
    return trials


def zipped(*sweeps: Iterable[Overrides]) -> list[Overrides]:
    """The first of each together, the second of each, and so on. Raises ValueError where one is longer than another, or
    two set the same key."""
    lists = [list(sweep) for sweep in sweeps]
    if len({len(sweep) for sweep in lists}) > 1:
        raise ValueError(f"zipped: sweeps of {', '.join(str(len(sweep)) for sweep in lists)} trials do not pair up")
    return [product(*([one] for one in together))[0] for together in zip(*lists, strict=True)]


def chain(*sweeps: Iterable[Overrides]) -> list[Overrides]:
    """One sweep after the other."""
    return [trial for sweep in sweeps for trial in sweep]


def draws(count: int, *keys: Draw, seed: int = 0) -> list[Overrides]:
    """`count` trials, for each of which every key is drawn; each number depends on seed, key and trial alone."""
    made = []
    for trial in range(count):
        number = lambda key, trial=trial: random.Random(f"{seed}/{trial}/{key}").random()
        made.append(product(*([draw(number)] for draw in keys))[0])
    return made


def uniform(key: str, low: float, high: float) -> Draw:
    """A number between `low` and `high`."""
    return lambda number: {key: _rounded(low + (high - low) * number(key))}


def log_uniform(key: str, low: float, high: float) -> Draw:
    """A number between `low` and `high`, whose logarithm is uniform. Raises ValueError where one is not positive."""
    if min(low, high) <= 0:
        raise ValueError(f"log_uniform({key!r}, {low}, {high}): a logarithm needs positive numbers")
    return lambda number: {key: _rounded(math.exp(math.log(low) + math.log(high / low) * number(key)))}


def choice(key: str, values: Sequence[Any]) -> Draw:
    """One of the values, each as likely."""
    return lambda number: {key: values[int(number(key) * len(values))]}


def _union(one: Overrides, other: Overrides) -> Overrides:
    both = one.keys() & other.keys()
    if both:
        raise ValueError(f"{sorted(both)[0]} is set twice in one trial")
    return one | other


def _rounded(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
