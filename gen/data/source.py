"""What a data set is to the rest of gen: records by number.

A source is a Grain `RandomAccessDataSource` (`len(source)`, `source[i]`) that also says what it holds. A record is a
dict of plain values, the same whenever it is read:

    {"image": encoded bytes or uint8 YXC, "caption": ("one of", "several"), "name": "7.png", "digit": 7}

where "caption" holds every caption that fits, "name" tells a person which record it is, and integers are labels.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

type Record = Mapping[str, Any]


class Damaged(ValueError):
    """A record whose content cannot be used; the loader takes another in its place and counts it."""


@runtime_checkable
class Source(Protocol):
    """Random access to the records of one split of a data set; safe to read from several threads.

    `source[i]` raises `Damaged` when what was read is unusable and OSError when it could not be read.
    """

    name: str  # what a person typed to get it, for messages
    fingerprint: str  # hex digest: equal digests hold equal records in equal order

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Record: ...

    def captions(self) -> Iterator[str]:
        """Every caption, as for training a tokenizer, without decoding an image."""
        ...


def digest(*parts: str | bytes | int) -> str:
    """The SHA-256, in hex, of `parts` in order; each is framed by its length, so that "ab", "c" is not "a", "bc"."""
    sha = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else str(part).encode()
        sha.update(b"%d:" % len(content) + content)
    return sha.hexdigest()


def sampled(source: Source, count: int = 16) -> str:
    """A digest of `count` records, spread over the source: it notices content that changes throughout while names and
    sizes stay, at the cost of as many reads. A record that cannot be read counts as such."""
    parts: list[str | bytes] = []
    for index in dict.fromkeys(i * len(source) // count for i in range(count)):
        try:
            record = source[index]
        except (Damaged, OSError) as error:
            parts.append(type(error).__name__)
            continue
        for key in sorted(record):
            value = record[key]
            parts += [key, value if isinstance(value, bytes) else _plain(value)]
    return digest(*parts)


def _plain(value: Any) -> str | bytes:
    return value.tobytes() if isinstance(value, np.ndarray) else repr(value)


def is_test(key: str, fraction: float) -> bool:
    """Whether a fixed hash of `key` puts it among the `fraction` of a data set that is kept for testing.

    It depends on nothing else, so that adding records moves no other from one split to the other.
    """
    return int(digest(key)[:16], 16) < fraction * 16.0**16


def train_or_test(keys: Sequence[str], split: str, fraction: float, where: str) -> list[int]:
    """The numbers of the `keys` in `split`, "train" or "test", by `is_test`.

    Raises ValueError for another split, a fraction outside [0, 1], or a split that holds nothing.
    """
    if split not in ("train", "test"):
        raise ValueError(f'{where} has no split {split!r}; its splits are "train" and "test"')
    if not 0 <= fraction <= 1:
        raise ValueError(f"{where}: test_fraction is {fraction}, expected a number from 0 to 1")
    chosen = [i for i, key in enumerate(keys) if is_test(key, fraction) == (split == "test")]
    if not chosen:
        raise ValueError(f"{where}: the {split} split of {len(keys)} records is empty; change test_fraction={fraction}")
    return chosen
