"""How many different damaged records the steps of a run have met, over all of its processes.

    count = Damage(loader.damage.take, known=[])
    count.stepped(position)                 # a step takes the batch at this position
    count.known()                           # of all steps so far, the same in every process

It is a function of the data, the seed and the step: checkpoints keep what led to them, so that a run that is resumed
counts no file twice, and what is read ahead does not count before a step takes it.
"""

from collections.abc import Callable, Iterable
from typing import Any

from gen import hosts, jsonfile

METRIC = "damaged_files"  # in metrics.jsonl, where there are any


class Damage:
    """`met` gives the damaged records among those that this process read for a position, once; None for data in which
    nothing is replaced."""

    def __init__(self, met: Callable[[int], Iterable[int]] | None, known: Iterable[int] = ()):
        self._met, self._known, self._new = met, set(known), set[int]()

    def stepped(self, position: int) -> None:
        """Counts the batch that a step has taken."""
        if self._met is not None:
            self._new.update(self._met(position))

    def known(self) -> set[int]:
        """All that the steps so far have met. Several processes ask equally often."""
        if self._met is not None:
            told = hosts.all_gather("damaged", sorted(self._new - self._known))
            self._known.update(*told)
            self._new.clear()
        return self._known

    def metrics(self) -> dict[str, int]:
        """The number as it is logged."""
        count = len(self.known())
        return {METRIC: count} if count else {}

    def extra(self) -> dict[str, list[int]]:
        """The JSON that a checkpoint keeps."""
        known = sorted(self.known())
        return {"damaged": known} if known else {}


def of(data: Any, extra: Any) -> Damage:
    """The count over batches of `data`, from a checkpoint with this `extra` on."""
    known = jsonfile.check(extra.get("damaged", []), list[int], "the damaged records of a checkpoint")
    record = getattr(data, "damage", None)
    return Damage(None if record is None else record.take, known)


def held_out(data: Any) -> dict[str, int]:
    """The number of damaged records that the evaluations of held-out data have met, as it is logged. They read the
    same batches each time."""
    record = getattr(data, "damage", None)
    if record is None:
        return {}
    count = len(set().union(*hosts.all_gather("damaged held out", sorted(record.named))))
    return {METRIC: count} if count else {}
