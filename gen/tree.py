"""Trees by name: paths like "blocks/attention/query/kernel", and regex rules that must cover every leaf."""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
from flax import traverse_util


def name(path: Sequence[Any]) -> str:
    """A key path of jax.tree_util as "a/b/0"."""
    return "/".join(str(getattr(k, "key", getattr(k, "idx", getattr(k, "name", k)))) for k in path)


def paths(tree: Any, is_leaf: Callable | None = None) -> Iterator[tuple[str, Any]]:
    """(path, leaf) for each leaf, in order."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_leaf)[0]:
        yield name(path), leaf


def map_with_path(fn: Callable, tree: Any, *rest: Any, is_leaf: Callable | None = None) -> Any:
    """jax.tree.map whose function also gets the leaf's path."""
    return jax.tree_util.tree_map_with_path(lambda path, *x: fn(name(path), *x), tree, *rest, is_leaf=is_leaf)


def nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """The nested dicts whose leaves have these paths."""
    return traverse_util.unflatten_dict(leaves, sep="/")


def select(tree: Any, chosen: Collection[str]) -> dict[str, Any]:
    """The leaves of nested dicts whose paths are `chosen`, as nested dicts."""
    return nested({path: leaf for path, leaf in paths(tree) if path in chosen})


def matching(known: Iterable[str], patterns: Sequence[str], what: str) -> set[str]:
    """The paths in which one of the regexes is found.

    Raises ValueError, with the nearest paths, for a regex that is found in none. `what` names the regexes in that
    message, for example "optim.freeze".
    """
    known, found = list(known), set[str]()
    for pattern in patterns:
        compiled = _compile(pattern, what)
        hits = {path for path in known if compiled.search(path)}
        if not hits:
            near = difflib.get_close_matches(pattern, known, cutoff=0.4) or known[:5]
            raise ValueError(f"{what}: {pattern!r} matches no parameter; the nearest are {', '.join(near)}")
        found |= hits
    return found


def _compile(pattern: str, what: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{what}: {pattern!r} is no regular expression: {error}") from error


def assign(tree: Any, rules: Sequence[tuple[str, Any]], what: str, is_leaf: Callable | None = None) -> Any:
    """A tree of values: each leaf gets the value of the first rule whose regex is found in its path.

    Raises ValueError when a leaf is met by no rule, or a rule decides of no leaf: a misspelt name, or a rule that comes
    after a wider one, must not pass silently.
    `what` names the rules in that message, for example "optim.decay".
    """
    compiled = [(_compile(pattern, what), value) for pattern, value in rules]
    met: set[int] = set()
    decides: set[int] = set()
    missed: list[str] = []

    def value_of(path: str, leaf: Any) -> Any:
        hits = [i for i, (pattern, _) in enumerate(compiled) if pattern.search(path)]
        met.update(hits)
        decides.update(hits[:1])
        if not hits:
            missed.append(path)
            return None
        return compiled[hits[0]][1]

    values = map_with_path(value_of, tree, is_leaf=is_leaf)
    if missed:
        raise ValueError(f'{what}: no rule matches {", ".join(missed[:5])}; end the rules with (".*", value)')
    for i, (pattern, _) in enumerate(rules):
        if i not in met and pattern != ".*":
            known = ", ".join(path for path, _ in list(paths(tree, is_leaf))[:5])
            raise ValueError(f"{what}: the rule {pattern!r} matches no parameter (parameters are {known}, ...)")
        if i not in decides and pattern != ".*":
            raise ValueError(f"{what}: the rule {pattern!r} decides nothing, as wider ones come before it; move it up")
    return values
