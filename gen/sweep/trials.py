"""The trials of a sweep: from the `sweep` of a config to overrides, each with an id that it keeps.

trials = expand("configs/lm/gpt2.py:tiny", "sweep")          # {"1f6c02a9": {"optim.lr": 0.001, "seed": 0}, ...}
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gen.config import nearest
from gen.runs import config_file
from gen.runs.config_file import executed
from gen.sweep.space import Overrides

MOST = 20  # trials that cannot run are named, of so many


def expand(where: str, name: str) -> dict[str, Overrides]:
    """The trials that the function `name` of a config file gives, by id, in order; one that comes twice is one.

    Raises ValueError where there is no such function, or it gives no overrides.
    """
    module = config_file.load_module(where)
    known = [key for key, value in vars(module).items() if is_sweep(key) and callable(value)]
    if name not in known:
        said = nearest(name, known) if known else "define a function sweep() that gives overrides, as gen.sweep says"
        raise ValueError(f"{where.partition(':')[0]} has no {name}(); {said}")
    with executed(where):
        given = getattr(module, name)()
    if not isinstance(given, Iterable):
        raise ValueError(f"{name}() of {where} gives {given!r}: it has to return a sweep, or yield dicts")
    with executed(where):  # a generator runs as it is read
        given = list(given)
    trials: dict[str, Overrides] = {}
    for trial in given:
        if not isinstance(trial, Mapping) or not all(isinstance(key, str) for key in trial):
            raise ValueError(f"{name}() of {where} gives {trial!r}, which is not a dict of dotted config keys")
        data = {key: plain(value, f"{name}() of {where}: {key}") for key, value in trial.items()}
        trials[identify(data)] = data
    if not trials:
        raise ValueError(f"{name}() of {where} gives no trial")
    return trials


def plain(value: Any, where: str) -> Any:
    """A value as JSON has it, also one of NumPy's. Raises ValueError for what JSON has not."""
    value = value.item() if hasattr(value, "item") and not getattr(value, "shape", ()) else value
    try:
        value = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}={value!r} is no number, text, list or None that a config can have") from error
    if "\n" in as_flag(value):
        raise ValueError(f"{where}={value!r} has a line break in it, which no command line of a cluster takes")
    return value


def is_sweep(name: str) -> bool:
    return name == "sweep" or name.startswith("sweep_")


def identify(trial: Mapping[str, Any]) -> str:
    """The id of a trial, which depends on its overrides and on nothing else, the order of their keys included."""
    return hashlib.sha256(json.dumps(trial, sort_keys=True).encode()).hexdigest()[:8]


def check(trials: Mapping[str, Overrides], problem: Callable[[str], str | None]) -> None:
    """Raises ValueError that names every trial with a `problem`."""
    bad = {name: said for name in trials if (said := problem(name)) is not None}
    if bad:
        lines = [f"  {label(trials[name])}: {said}" for name, said in list(bad.items())[:MOST]]
        more = [f"  and {len(bad) - MOST} more"] if len(bad) > MOST else []
        verb = "trial cannot" if len(bad) == 1 else "trials cannot"
        raise ValueError("\n".join([f"{len(bad)} of {len(trials)} {verb} run, so none was started:", *lines, *more]))


def label(trial: Overrides) -> str:
    """A trial for people."""
    return " ".join(f"{key}={as_flag(value)}" for key, value in trial.items()) or "the config as it is"


def as_flag(value: Any) -> str:
    """A value as it is typed behind --config.KEY=."""
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return str(value)
    return json.dumps(value)
