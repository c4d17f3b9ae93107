"""One example of a source, whatever becomes of its files.

A damaged record is replaced by a fixed rule, a hash of (index, attempt), so that a batch stays a function of (seed,
position); replacements are counted and reported. A read that fails is tried again, then fatal: a storage that is
away must stop a run, not thin out its data.
"""

import threading
import time

from gen import rng
from gen.data.examples import Example, Transform
from gen.data.source import Damaged, Record, Source

REPLACEMENTS = 8  # tried for one damaged record before the run ends
PAUSES = (0.1, 0.5, 2.0)  # seconds before each new try of a failed read


class Replaced:
    """What this process has replaced so far: `count` times, `first` naming the first ten records and their faults."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # examples are read by several threads
        self.count = 0
        self.first: list[str] = []

    def add(self, reason: str) -> None:
        with self._lock:
            self.count += 1
            if reason not in self.first and len(self.first) < 10:
                self.first.append(reason)


class Reader:
    """Reads records of `source` and makes examples of them by `transform`."""

    def __init__(self, source: Source, transform: Transform):
        self.source = source
        self.transform = transform
        self.replaced = Replaced()

    def example(self, index: int, seed: int, *numbers: int) -> Example:
        """The example of record `index`, or of its replacement, augmented by the draws of (seed, *numbers).

        Raises ValueError, naming the record, when its replacements are damaged as well, and OSError when reading
        keeps failing.
        """
        candidate = index
        for attempt in range(REPLACEMENTS + 1):
            name = f"record {candidate} of {self.source.name}"
            try:
                record = self._read(candidate)
                name = f"{record['name']} ({name})"
                return self.transform(record, rng.host(seed, "augment", *numbers))
            except Damaged as damage:
                reason = f"{name}: {damage}"
                self.replaced.add(reason)
            candidate = replacement(index, attempt, len(self.source))
        raise ValueError(
            f"record {index} of {self.source.name} and the {REPLACEMENTS} tried in its place are damaged; "
            f"check the data set, beginning with {reason}"
        )

    def _read(self, index: int) -> Record:
        for pause in PAUSES:
            try:
                return self.source[index]
            except OSError:
                time.sleep(pause)
        try:
            return self.source[index]
        except OSError as error:
            tries = 1 + len(PAUSES)
            raise OSError(
                f"record {index} of {self.source.name} cannot be read, tried {tries} times: {error}"
            ) from error


def replacement(index: int, attempt: int, n: int) -> int:
    """The record, among n, that stands in for record `index` at this attempt, on every host and in every run."""
    return int(rng.host(index, "replacement", attempt).integers(n))
