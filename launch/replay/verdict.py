"""Whether something made again is the same, and if not, what may be the reason."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gen import status
from gen.train import manifest


def pixels(path: Path, then: np.ndarray, now: np.ndarray, changed: Sequence[str]) -> int:
    """Compares the pixels of a file with those made again; says so, and returns an exit status."""
    if then.shape != now.shape:
        return differs(f"{path} has {then.shape[1]} x {then.shape[0]} pixels, made again {now.shape}", changed)
    apart = np.abs(then.astype(int) - now.astype(int))
    count = int((apart.max(-1) > 0).sum())
    if count:
        total = then.shape[0] * then.shape[1]
        return differs(f"{path} differs in {count:,} of {total:,} pixels, by at most {apart.max()} of 255", changed)
    return same(f"{path}: the same {then.shape[1]} x {then.shape[0]} pixels, bit for bit", changed)


def same(sentence: str, changed: Sequence[str]) -> int:
    print(sentence + (f", although {'; '.join(changed)}" if changed else ""))
    return status.DONE


def differs(sentence: str, changed: Sequence[str]) -> int:
    """`changed` is what is not as it was when the first was made."""
    print(sentence)
    for one in changed:
        print(f"  {one}")
    if not changed:
        print("  nothing that is recorded has changed: this program does not repeat itself on these devices")
    return status.FAILED


def changed(made_with: Mapping[str, Any], mesh: Mapping[str, int]) -> list[str]:
    """What bits depend on and is not as it was."""
    return manifest.changed(made_with, manifest.surroundings(mesh))


def check_weights(path: Path, then: Mapping[str, Any], now: Mapping[str, Any], what: str = "the weights") -> None:
    """Raises ValueError where weights, or the config by which they are read, are not those of the record."""
    if then["digest"] != now["digest"]:
        raise ValueError(
            f"{path} was made with other weights: {what} of step {then.get('step')} had digest {then['digest']},"
            f" and have {now['digest']}; point --workdir to a run that has them"
        )
    if then.get("config_sha256") != now.get("config_sha256"):
        raise ValueError(f"{path} was made with another config of {what}; point --workdir to the run that made it")


def field(record: Mapping[str, Any], path: Path, *names: str) -> None:
    """Raises ValueError where a record lacks what it takes to make its file again."""
    for name in names:
        if name not in record:
            raise ValueError(f"{path} has a record without {name!r}: an older gen made it, or no gen at all")
