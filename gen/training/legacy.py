"""Keys that configs of runs made by earlier versions lack, and what their absence meant.

    completed({"data": {"source": "text:/letters", "options": {}}})
                     ->  {"data": {"source": "text:/letters", "options": {"split_by": "position"}}}

A run that is made now states these keys in its config.json, so that one without them is of version 0.1.0.
"""

from collections.abc import Callable, Mapping
from typing import Any

RULE = "split_by"
# kind of data set -> how version 0.1.0 divided it
SPLIT_BY = {
    "folder": "spelling",
    "text": "position",
    "chat": "position",
    "prompts": "position",
    "preferences": "position",
    "labelled": "position",
}
SOURCES = {"source": "options", "demonstrations": "demonstration_options"}

type Options = Mapping[str, Any]


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's config with the keys that it lacks, as they were meant."""
    return _with_options(config, lambda kind, options: {RULE: SPLIT_BY[kind], **options})


def digested(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config without keys whose value is what their absence means, so that the digests of runs of earlier versions
    stay as they were."""
    is_old = lambda kind, key, value: key == RULE and value == SPLIT_BY[kind]
    return _with_options(config, lambda kind, options: {k: v for k, v in options.items() if not is_old(kind, k, v)})


def taken_over(data: Mapping[str, Any], meant: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of `before`, a run's config, that `data`, a config as it is given to go on, leaves open, in their
    places; `meant` is `data` with every default filled in."""
    found: dict[str, Any] = {}
    if any(_kind(before, source) != _kind(meant, source) for source in SOURCES):  # of data by another rule
        return found
    for key in (key for key in before if key in meant):
        old, new, given = before[key], meant[key], data.get(key, {})
        if key == RULE and RULE not in data:
            found[key] = old
        elif isinstance(old, Mapping) and isinstance(new, Mapping) and isinstance(given, Mapping):
            if inner := taken_over(given, new, old):
                found[key] = inner
    return found


def _with_options(config: Mapping[str, Any], change: Callable[[str, Options], dict[str, Any]]) -> dict[str, Any]:
    """A config with the options of each data set that a table above names, at whatever depth, as `change` gives them
    by kind."""
    changed = {
        key: _with_options(value, change) if isinstance(value, Mapping) else value for key, value in config.items()
    }
    for source, options in SOURCES.items():
        kind = _kind(config, source)
        if kind in SPLIT_BY and isinstance(given := changed.get(options, {}), Mapping):
            changed[options] = change(kind, given)
    return changed


def _kind(config: Mapping[str, Any], source: str) -> str:
    """The kind of the data set that `source` names."""
    return str(config.get(source, "")).partition(":")[0]
