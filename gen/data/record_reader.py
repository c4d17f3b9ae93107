"""One example of a source, whatever becomes of its files.

A damaged record is replaced by a fixed rule, a hash of (index, attempt), so that a batch stays a function of (seed,
position); it is noted once, when it is met first. A read that fails is tried again, then fatal: a storage that is
away must stop a run, not thin out its data.
"""

import threading

from gen import rng
from gen.data.examples import Example, Transform
from gen.data.source import CorruptRecord, Source, read_again
from gen.messages import note

SHOWN = 20  # damaged records that are noted one by one
REPLACEMENTS = 8  # tried for one damaged record before the run ends


class ReplacementLog:
    """The damaged records that this process has met: each is noted when it is met first, whatever the reason says then.

    `named` holds {record: what it is called and its fault}, in the order in which they were met.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # examples are read by several threads
        self._at: dict[int, set[int]] = {}
        self.named: dict[int, str] = {}

    def add(self, record: int, reason: str, position: int) -> None:
        """Takes down a damaged record of the batch at `position`."""
        with self._lock:
            self._at.setdefault(position, set()).add(record)
            if record in self.named:
                return
            self.named[record] = reason
            if len(self.named) <= SHOWN:
                note(f"{reason}; another record takes its place")
            elif len(self.named) == SHOWN + 1:
                note(f"more than {SHOWN} records are damaged; from here on they are counted, not named")

    def take(self, position: int) -> set[int]:
        """The damaged records that were met for the batch at `position` since they were taken last."""
        with self._lock:
            return self._at.pop(position, set())

    def summary(self) -> str:
        """How many there are, for the end of a program; "" where there are none."""
        count = len(self.named)
        return f"{count} damaged {'file' if count == 1 else 'files'} gave way to others" if count else ""


class RecordReader:
    """Reads records of `source` and makes examples of them by `transform`."""

    def __init__(self, source: Source, transform: Transform):
        self.source = source
        self.transform = transform
        self.damage = ReplacementLog()

    def example(self, index: int, seed: int, *numbers: int, position: int) -> Example:
        """The example of record `index`, or of its replacement, augmented by the draws of (seed, *numbers), for the
        batch at `position`.

        Raises ValueError, naming the record, when its replacements are damaged as well, and OSError when reading
        keeps failing.
        """
        candidate = index
        for attempt in range(REPLACEMENTS + 1):
            name = f"record {candidate} of {self.source.name}"
            try:
                record = read_again(self.source, candidate)
                name = f"{record['name']} ({name})"
                return self.transform(record, rng.host(seed, "augment", *numbers))
            except CorruptRecord as damage:
                reason = f"{name}: {damage}"
                self.damage.add(candidate, reason, position)
            candidate = replacement(index, attempt, len(self.source))
        raise ValueError(
            f"record {index} of {self.source.name} and the {REPLACEMENTS} tried in its place are damaged; "
            f"check the data set, beginning with {reason}"
        )


def replacement(index: int, attempt: int, n: int) -> int:
    """The record, among n, that stands in for record `index` at this attempt, on every host and in every run."""
    return int(rng.host(index, "replacement", attempt).integers(n))
