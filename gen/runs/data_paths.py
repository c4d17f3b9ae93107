"""Where the data of a run lies: keys of its config that name a place, which may change while the data is the same.

    moved(before, now)              {"data.source": ["folder:/old", "folder:/new"]}
    check(run, feed, moved)         ValueError, with both fingerprints, where the data is another

A run's config holds the newest place; the manifest's entry of the launch that changed it holds both.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gen import config, tokenizers
from gen.tokenizers import Tokenizer
from gen.training import manifest
from gen.training.run_dir import RunDir

_PART = r"data\.(pretrain\.)?(mixture\.[^.]+\.)?"
DATA = re.compile(rf"{_PART}(source|options\.(held_out|format))|data\.demonstrations")
TOKENIZER = re.compile(r"data\.(pretrain\.)?tokenizer")
CACHE = re.compile(r"data\.(pretrain\.)?cache")  # what is in it can be made again
UPSTREAM = re.compile(r"upstream\.[^.]+")  # recorded by the digests of their weights (gen/runs/reader.py)


def is_place(key: str) -> bool:
    return any(kind.fullmatch(key) for kind in (DATA, TOKENIZER, CACHE, UPSTREAM))


def moved(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, list[Any]]:
    """{key: [old, new]} of the places that differ between two configs of a run."""
    old, new = config.flatten(before), config.flatten(now)
    keys = (key for key in sorted(old.keys() | new.keys()) if is_place(key) and not UPSTREAM.fullmatch(key))
    return {key: [old.get(key), new.get(key)] for key in keys if old.get(key) != new.get(key)}


def overridden(data: Mapping[str, Any], overrides: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """The config of a run with other places. Raises ValueError for a key that does not name a place."""
    for key, value in overrides:
        if not is_place(key):
            raise ValueError(
                f"--config.{key}: a run that is trained is read by its own config.json; only where data that has moved"
                " is found can be said, as --config.data.source=KIND:PLACE"
            )
        data = config.override(data, key, value)
    return dict(data)


def check(
    run: RunDir,
    fingerprints: Mapping[str, str],
    tokenizer: Tokenizer | None,
    changes: Mapping[str, Sequence[Any]],
) -> None:
    """Raises ValueError where data, or a tokenizer, at a new place is not what the run was last trained on, or nothing
    says what that was."""
    where = "; ".join(f"{key} was {old!r}, now {new!r}" for key, (old, new) in changes.items())
    for key, (_, new) in changes.items():
        if TOKENIZER.fullmatch(key) and (tokenizer is None or not _same(tokenizer, new)):
            raise ValueError(f"{run.path}: {where}: that is another tokenizer than the run's; give the same")
    if not any(DATA.fullmatch(key) for key in changes):
        return
    then = manifest.fingerprints(next(iter(run.launches()[-1:]), {}))
    if not then:
        raise ValueError(f"{run.path}: {where}: nothing is recorded of the data that it had; bring that back")
    if differing := manifest.data_changed({"fingerprints": then}, {"fingerprints": fingerprints}):
        raise ValueError(f"{run.path}: {where}: that is other data: {'; '.join(differing)}; give the same data")


def _same(tokenizer: Tokenizer, name: str | None) -> bool:
    if name is None or name.startswith("bpe:"):  # the run's own, or one that would have to be trained
        return name is None
    return tokenizers.named(name, lambda size: tokenizer, example=512).fingerprint == tokenizer.fingerprint


@contextmanager
def hinted(data: Mapping[str, Any]) -> Iterator[None]:
    """Adds to a refusal of data which keys name a place that is not there."""
    try:
        yield
    except ValueError as error:
        if not (gone := absent(data)):
            raise
        keys = " ".join(f"--config.{key}={str(value).partition(':')[0]}:PLACE" for key, value in gone.items())
        raise ValueError(f"{error}; if the data has moved, say where it is: {keys}") from error


def absent(data: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that name data at a place of this machine where nothing is."""
    flat = config.flatten(data)
    specs = {key: str(value) for key, value in flat.items() if DATA.fullmatch(key) and ":" in str(value)}
    return {key: spec for key, spec in specs.items() if not Path(spec.partition(":")[2]).expanduser().exists()}
