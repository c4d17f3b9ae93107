"""A format that gen reads: how a good one is made, which of its files are damaged, and the readers that meet it.

FORMATS["Hub"].make(place); FORMATS["Hub"].read(place)

Each `read` goes through the doors that the programs use. It may refuse a damaged input with an error for which a
program has a sentence and an exit status; anything else is a fault.
"""

import contextlib
import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import mutations

from gen import mesh as meshes
from gen.data.source import CorruptRecord

WORDS = "".join(f"line {i} of a small text, number {i % 7}\n" for i in range(60))


class Format(NamedTuple):
    """`files` are patterns under the place with the kind of damage that their files take."""

    name: str
    files: dict[str, str]
    make: Callable[[Path], None]
    read: Callable[[Path], None]


FORMATS: dict[str, Format] = {}


def format(**files: str) -> Callable[[type], type]:
    """Registers a class with `make` and `read` under its name; keywords are kinds and their patterns, by spaces."""

    def register(cls: type) -> type:
        patterns = {pattern: kind for kind, listed in files.items() for pattern in listed.split()}
        FORMATS[cls.__name__] = Format(cls.__name__, patterns, cls.make, cls.read)  # type: ignore[attr-defined]
        return cls

    return register


def check(format: Format, good: Path, copy: Path) -> None:
    """Raises where a good input is refused, or a pattern matches no file."""
    shutil.copytree(good, copy, symlinks=True)
    format.read(copy)
    shutil.rmtree(copy)
    for pattern in format.files:
        if not any(good.glob(pattern)):
            raise AssertionError(f"{format.name}: no file matches {pattern}")


def damage(format: Format, place: Path, draw: mutations.Draw) -> str:
    """Changes one file of a copy; returns what was done."""
    patterns = list(format.files)
    pattern = patterns[draw.integers(len(patterns))]
    found = sorted(path for path in place.glob(pattern) if path.is_file())
    path = found[draw.integers(len(found))]
    return f"{path.relative_to(place)}: {mutations.damage(path, format.files[pattern], draw)}"


@functools.cache
def mesh() -> jax.sharding.Mesh:
    return meshes.make(meshes.MeshConfig(), jax.devices()[:1])


def each(read: Callable[[int], object], count: int) -> None:
    """Reads records as a loader does, which puts others in the place of damaged ones."""
    for index in range(min(count, 8)):
        with contextlib.suppress(CorruptRecord):
            read(index)


def read_all(readers: list[Callable[[], object]]) -> None:
    """Calls all, and raises the first error that has a sentence at the end; one without is raised at once."""
    from launch import cli

    refused = None
    for read in readers:
        try:
            read()
        except Exception as error:
            if cli.exit_status(error) is None:
                raise
            refused = refused or error
    if refused:
        raise refused
