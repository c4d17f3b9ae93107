"""Which batch a step takes: its own number, moved on by what was left out before it.

    DIR/skips.json       {"skips": [{"at": 700, "batches": 300, "spike": 812}]}: from step 700 on 300 are left out

Nothing else moves a batch, so that a run that is replayed, resumed or branched takes the same ones. A checkpoint knows
the skips that led to it; one that knows others belongs to steps that were taken back.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import jax

from gen import files, hosts, jsonfile
from gen.jsonfile import NotReadable
from gen.messages import short

SKIPS = "skips.json"
MOST = 2**31  # steps and batches are fewer


class SkipRecord(TypedDict):
    """A skip as skips.json and checkpoints have it."""

    at: int
    batches: int
    spike: int


class _File(TypedDict):
    skips: list[SkipRecord]


@dataclasses.dataclass(frozen=True)
class Skip:
    """`batches` are left out from step `at` on, because of what step `spike` met."""

    at: int
    batches: int
    spike: int


class DataSkips:
    """The skips of one run, oldest first."""

    def __init__(self, directory: Path):
        """Raises ValueError where the record of the directory cannot be read."""
        self._path = directory / SKIPS
        self.skips = parse(files.read_json(self._path, _File)["skips"], self._path) if self._path.exists() else []

    def position(self, step: int) -> int:
        """The position of the batch that a step takes."""
        return step + sum(skip.batches for skip in self.skips if skip.at <= step)

    def before(self, step: int) -> list[dict[str, int]]:
        """The skips that led to the state before a step, as a checkpoint keeps them."""
        return [dataclasses.asdict(skip) for skip in self._before(step)]

    def knows(self, step: int, extra: Mapping[str, Any]) -> bool:
        """Whether a checkpoint with this JSON belongs to this history, and not to steps that were taken back.

        Raises ValueError where the checkpoint has skips that the record lacks, or for malformed ones.
        """
        skips = of(extra, step)
        if lost := [skip for skip in skips if skip not in self.skips]:
            raise ValueError(f"{self._path} lacks {lost[0]}, of which checkpoint {step} knows; restore it from a copy")
        return skips == self._before(step)

    def _before(self, step: int) -> list[Skip]:
        return [skip for skip in self.skips if skip.at < step]

    def add(self, skip: Skip) -> None:
        """Records a skip, on disk before anything is made of it."""
        self.skips.append(skip)
        if jax.process_index() == 0:
            files.write_json(self._path, {"skips": [dataclasses.asdict(skip) for skip in self.skips]})
        hosts.all_gather("skip", None)


def of(extra: Mapping[str, Any], step: int) -> list[Skip]:
    """The skips in the JSON of the checkpoint of a step. Raises NotReadable."""
    where = f"the JSON of checkpoint {step}"
    return parse(jsonfile.check(extra.get("skips", []), list[SkipRecord], where), where)


def parse(skips: Sequence[SkipRecord], where: str | Path) -> list[Skip]:
    """Raises NotReadable for numbers that no skip has."""
    found = [Skip(skip["at"], skip["batches"], skip["spike"]) for skip in skips]
    for skip in found:
        if not (0 <= skip.at < MOST and 0 < skip.batches < MOST and 0 <= skip.spike < MOST):
            raise NotReadable(f"{where} has {short(skip)}, which is no skip of batches; restore it from a copy")
    return found
