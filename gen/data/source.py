"""What a data set is to the rest of gen: records by number.

A source is a Grain `RandomAccessDataSource` (`len(source)`, `source[i]`) that also says what it holds. A record is a
dict of plain values, the same whenever it is read:

    {"image": encoded bytes or uint8 YXC, "caption": ("one of", "several"), "name": "7.png", "digit": 7}

where "caption" holds every caption that fits, "name" tells a person which record it is, and integers are labels.
"""

import hashlib
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64, UInt64

type Record = Mapping[str, Any]

CORRUPT = "Damaged"  # what stands for such a record in digests; runs keep them, so that it never changes
PAUSES = (0.1, 0.5, 2.0)  # seconds before each new try of a failed read

# Which hash puts a record into the train or the test split; the second of each is the rule of version 0.1.0.
RowRule = Literal["content", "position"]
FileRule = Literal["name", "spelling"]


class CorruptRecord(ValueError):
    """A record whose content cannot be used; the loader takes another in its place and counts it."""


@runtime_checkable
class Indexed(Protocol):
    """Items by number; `name` is for messages."""

    name: str

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mapping[str, Any]: ...


@runtime_checkable
class Source(Protocol):
    """Random access to the records of one split of a data set; safe to read from several threads.

    `source[i]` raises `CorruptRecord` when what was read is unusable and OSError when it could not be read.
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
    return digest_of(parts)


def digest_of(parts: Iterable[str | bytes | int]) -> str:
    """`digest` of parts that need not all be in memory."""
    sha = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else str(part).encode()
        sha.update(b"%d:" % len(content) + content)
    return sha.hexdigest()


def mark(key: str) -> int:
    """A fixed hash of `key`, of 64 bits, by which it is in one split or the other."""
    return int(digest(key)[:16], 16)


def sampled(source: Indexed, count: int = 16) -> str:
    """A digest of `count` records, spread over the source: it notices content that changes throughout while names and
    sizes stay, at the cost of as many reads. A damaged record counts as such; one that cannot be read for now is tried
    again, and raises OSError in the end."""
    parts: list[str | bytes] = []
    for index in dict.fromkeys(i * len(source) // count for i in range(count if len(source) else 0)):
        try:
            record = read_again(source, index)
        except CorruptRecord:
            parts.append(CORRUPT)
            continue
        for key in sorted(record):
            value = record[key]
            parts += [key, value if isinstance(value, bytes) else _plain(value)]
    return digest(*parts)


def read_again(source: Indexed, index: int) -> Record:
    """source[index], tried again after pauses where the file system does not answer. Raises OSError after the last."""
    for pause in PAUSES:
        try:
            return source[index]
        except OSError:
            time.sleep(pause)
    try:
        return source[index]
    except OSError as error:
        raise OSError(
            f"record {index} of {source.name} cannot be read, tried {1 + len(PAUSES)} times: {error}"
        ) from error


def _plain(value: Any) -> str | bytes:
    return value.tobytes() if isinstance(value, np.ndarray) else repr(value)


def is_test(key: str, fraction: float) -> bool:
    """Whether the hash of `key` puts it among the `fraction` of a data set that is kept for testing.

    It depends on nothing else, so that adding records moves no other from one split to the other.
    """
    return mark(key) < fraction * 2.0**64


def train_or_test(keys: Iterable[str], split: str, fraction: float, where: str) -> list[int]:
    """The numbers of the `keys` in `split`, "train" or "test", by `is_test`.

    Raises ValueError for another split, a fraction outside [0, 1], or a split that holds nothing.
    """
    return chosen(np.fromiter(map(mark, keys), np.uint64), split, fraction, where).tolist()


def chosen(marks_N: UInt64[np.ndarray, "N"], split: str, fraction: float, where: str) -> Int64[np.ndarray, "M"]:
    """The numbers of the records in `split`, by the marks of all; raises as `train_or_test`."""
    if split not in ("train", "test"):
        raise ValueError(f'{where} has no split {split!r}; its splits are "train" and "test"')
    if not 0 <= fraction <= 1:
        raise ValueError(f"{where}: test_fraction is {fraction}, expected a number from 0 to 1")
    limit = math.ceil(fraction * 2.0**64)
    test_N = marks_N < np.uint64(limit) if limit < 2**64 else np.ones(len(marks_N), bool)
    numbers_M = np.flatnonzero(test_N == (split == "test"))
    if not len(numbers_M):
        raise ValueError(_empty(marks_N, split, fraction, where))
    return numbers_M


def _empty(marks_N: np.ndarray, split: str, fraction: float, where: str) -> str:
    """A sentence about a split that holds nothing, with a fraction that fills it where there is one."""
    empty = f"{where}: the {split} split of {len(marks_N)} records is empty with data.options.test_fraction={fraction}"
    if len(marks_N) < 2:
        return f"{empty}; add records, as each split needs one"
    if marks_N.min() == marks_N.max():
        return f"{empty}: all are equal, and equal records are in one split; add others"
    if split == "test":
        better = math.ceil(float(marks_N.min()) / 2.0**64 * 1000 + 1) / 1000
        return f"{empty}; set data.options.test_fraction={min(better, 1.0)} or more, or add records"
    better = math.floor(float(marks_N.max()) / 2.0**64 * 1000) / 1000
    return f"{empty}; set data.options.test_fraction={better} or less, or add records"
