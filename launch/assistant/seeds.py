"""The stacks of several seeds on one base model.

WORKDIR/base, WORKDIR/seed0/{sft, preferences, reward, ppo, ...}, WORKDIR/seed1/...
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gen import config, exit_codes
from gen.runs import stack
from gen.runs import train as runs

BASE = "base"


def place(workdir: Path, seed: int) -> Path:
    return workdir / f"seed{seed}"


def train(data: Mapping[str, Any], workdir: Path, seeds: Sequence[int]) -> int:
    """Trains what is missing; returns the first exit status that is not 0, or 0."""
    stages, _ = stack.stage_configs(data, workdir)  # with what is set for all of them
    outcome = runs.train(stages[BASE], workdir / BASE)
    for seed in seeds:
        if outcome == exit_codes.DONE:
            outcome = stack.train(seeded(data, workdir, seed), place(workdir, seed))
    return outcome


def seeded(data: Mapping[str, Any], workdir: Path, seed: int) -> dict[str, Any]:
    """The stack of a seed, which draws the noise and orders the data."""
    return config.merge(data, {"seed": seed, "data": {"seed": seed}, "runs": {BASE: str(workdir / BASE)}})
