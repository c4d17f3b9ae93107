"""Which batch a step takes: its own number, moved on by what was left out before it.

    DIR/skips.json       {"skips": [{"at": 700, "batches": 300, "spike": 812}]}: from step 700 on 300 are left out

Nothing else moves a batch, so that a run that is replayed, resumed or branched takes the same ones. A checkpoint knows
the skips that led to it; one that knows others belongs to steps that were taken back.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from gen import hosts
from gen.train import files

SKIPS = "skips.json"


@dataclasses.dataclass(frozen=True)
class Skip:
    """`batches` are left out from step `at` on, because of what step `spike` met."""

    at: int
    batches: int
    spike: int


class History:
    """The skips of one run, oldest first."""

    def __init__(self, directory: Path):
        """Raises ValueError where the record of the directory cannot be read."""
        self._path = directory / SKIPS
        self.skips = parse(files.read_json(self._path)["skips"]) if self._path.exists() else []

    def position(self, step: int) -> int:
        """The position of the batch that a step takes."""
        return step + sum(skip.batches for skip in self.skips if skip.at <= step)

    def before(self, step: int) -> list[dict[str, Any]]:
        """The skips that led to the state before a step, as a checkpoint keeps them."""
        return [dataclasses.asdict(skip) for skip in self.skips if skip.at < step]

    def knows(self, step: int, skips: Sequence[dict[str, Any]]) -> bool:
        """Whether a checkpoint with these skips belongs to this history, and not to steps that were taken back.

        Raises ValueError where the checkpoint has skips that the record lacks.
        """
        lost = [skip for skip in parse(skips) if skip not in self.skips]
        if lost:
            raise ValueError(f"{self._path} lacks {lost[0]}, of which checkpoint {step} knows; restore it from a copy")
        return list(skips) == self.before(step)

    def add(self, skip: Skip) -> None:
        """Records a skip, on disk before anything is made of it."""
        self.skips.append(skip)
        if jax.process_index() == 0:
            files.write_json(self._path, {"skips": [dataclasses.asdict(skip) for skip in self.skips]})
        hosts.gather("skip", None)


def parse(skips: Sequence[dict[str, Any]]) -> list[Skip]:
    return [Skip(int(skip["at"]), int(skip["batches"]), int(skip["spike"])) for skip in skips]
