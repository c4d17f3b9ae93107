"""Faults of a data set, reported together, each with its place, so that one round of corrections is enough.

faults = Faults("/data/chats")
faults.add("/data/chats/a.jsonl:7: the text is empty")
faults.check()          # raises ValueError: /data/chats has 1 faults; correct them ...
"""

SHOWN = 20  # spelled out in one message


class ParseError(ValueError):
    """A fault of a document or a line, in words that follow its name."""


class ParseErrors:
    """The faults found at `place` so far, of which the first are kept."""

    def __init__(self, place: object):
        self.place, self.count = place, 0
        self._first: list[str] = []

    def add(self, sentence: str) -> None:
        self.count += 1
        if len(self._first) < SHOWN:
            self._first.append(sentence)

    def check(self) -> None:
        """Raises ValueError where there are any."""
        if self.count:
            more = [f"... and {self.count - SHOWN} more"] if self.count > SHOWN else []
            head = f"{self.place} has {self.count} faults; correct them"
            raise ValueError("\n".join([head, *self._first, *more]))
