"""Kinds of data sets, opened by the string that a config writes: "KIND" or "KIND:PLACE", and options.

Two catalogs are made of them: pictures (catalog) and texts (corpora).
"""

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gen import config

RULE = "split_by"  # the option of openers that names what puts a record into the train or the test split


@dataclasses.dataclass(frozen=True)
class SourceKind[T]:
    """A kind of data set: how a person writes it, and what opens it: opener(place, *given, **options)."""

    form: str
    opener: Callable[..., T]


def open_kind[T](
    kinds: Mapping[str, SourceKind[T]], noun: str, spec: str, given: tuple[Any, ...], options: Mapping[str, Any]
) -> T:
    """What `spec` names among `kinds`, opened with `given` and with `options` as their annotations say.

    Raises ValueError when a kind, option or place is unknown or missing; `noun` is what messages call it.
    """
    name, _, place = spec.partition(":")
    if name not in kinds:
        forms = ", ".join(kind.form for kind in kinds.values())
        raise ValueError(f"there is no {noun} {spec!r}{_nearest(name, kinds)}; those that exist are {forms}")
    form, opener = kinds[name].form, kinds[name].opener
    if (":" in form) != bool(place):
        raise ValueError(f"cannot open the {noun} {spec!r}; write {form}")
    known = list(inspect.signature(opener).parameters.values())[1 + len(given) :]
    annotations = {parameter.name: parameter.annotation for parameter in known}
    for option in options:
        if option not in annotations:
            listed = ", ".join(annotations) or "none"
            raise ValueError(
                f"{name} has no option {option!r}{_nearest(option, annotations)}; its options are {listed}"
            )
    typed = {
        option: config.convert(value, annotations[option], f"data.options.{option}")
        for option, value in options.items()
    }
    return opener(place, *given, **typed)


def state_rule(
    cfg: Any, kinds: Mapping[str, SourceKind[Any]], source: str = "source", options: str = "options"
) -> None:
    """Fills in by which rule the data of a config is split, where the kind of its `source` has one: a run then keeps
    its split, whatever later versions split by. For the `__post_init__` of a config."""
    kind = kinds.get(getattr(cfg, source).partition(":")[0])
    rule = inspect.signature(kind.opener).parameters.get(RULE) if kind else None
    if rule is not None:
        object.__setattr__(cfg, options, {RULE: rule.default, **getattr(cfg, options)})


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
