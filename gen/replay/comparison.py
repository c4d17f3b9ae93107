"""Whether something made again is the same, and if not, what may be the reason."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gen import exit_codes
from gen.messages import say
from gen.replay.record import Weights
from gen.training import manifest

UNCHANGED = "nothing that is recorded has changed: this program does not repeat itself on these devices"


def pixels(path: Path, then: np.ndarray, now: np.ndarray, changed: Iterable[str]) -> int:
    """Compares the pixels of a file with those made again; says so, and returns an exit status."""
    if then.shape != now.shape:
        return differs(f"{path} has {then.shape[1]} x {then.shape[0]} pixels, made again {now.shape}", changed)
    apart = np.abs(then.astype(int) - now.astype(int))
    count = int((apart.max(-1) > 0).sum())
    if count:
        total = then.shape[0] * then.shape[1]
        return differs(f"{path} differs in {count:,} of {total:,} pixels, by at most {apart.max()} of 255", changed)
    return same(f"{path}: the same {then.shape[1]} x {then.shape[0]} pixels, bit for bit", changed)


def same(sentence: str, changed: Iterable[str]) -> int:
    why = "; ".join(changed)
    say(sentence + (f", although {why}" if why else ""))
    return exit_codes.DONE


def differs(sentence: str, changed: Iterable[str]) -> int:
    """`changed` is what is not as it was when the first was made."""
    say(sentence)
    for one in [*changed] or [UNCHANGED]:
        say(f"  {one}")
    return exit_codes.FAILED


def changed(made_with: Mapping[str, Any], mesh: Mapping[str, int]) -> list[str]:
    """What bits depend on and is not as it was."""
    return manifest.changed(made_with, manifest.surroundings(mesh))


def check_names(path: Path, then: Iterable[str], now: Iterable[str], what: str) -> None:
    """Raises ValueError where what made a file has other parts than what is here."""
    before, here = [*then], [*now]
    if set(before) != set(here):
        listed = lambda names: ", ".join(names) or "none"
        raise ValueError(
            f"{path} was made with other {what} ({listed(before)}) than are here ({listed(here)});"
            " point --workdir to the run that made it"
        )


def check_weights(where: str | Path, then: Weights, now: Mapping[str, Any], what: str = "the weights") -> None:
    """Raises ValueError where weights, or the config by which they are read, are not those of the record."""
    if then.digest != now["digest"]:
        raise ValueError(
            f"{where} was made with other weights: {what} of step {then.step} had digest {then.digest},"
            f" and have {now['digest']}; point --workdir to a run that has them"
        )
    if then.config_sha256 != now.get("config_sha256"):
        raise ValueError(f"{where} was made with another config of {what}; point --workdir to the run that made it")
