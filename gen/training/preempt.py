"""Stopping when asked: a signal is noted, and the loop saves and leaves at its next step.

    with Preemption() as preemption:
        for step in range(steps):
            ...
            if preemption.requested():
                break

SIGTERM is what schedulers send before they take a machine away; SIGINT is Ctrl-C, whose second time interrupts at once
for whoever will not wait for the save. Where several processes train together, a signal to any of them stops all at
the same step: jax, which then catches SIGTERM by itself, finds one that none of them has passed.
"""

import itertools
import os
import signal
from types import FrameType
from typing import Any

from jax.experimental import multihost_utils

from gen import hosts

_questions = itertools.count()  # of this process, over all of its runs: jax agrees on numbers that only grow


class Preemption:
    """While entered, catches SIGTERM and SIGINT; afterwards the handlers of before are back.

    Enter it in the main thread, the only one that may set handlers: ValueError elsewhere.
    """

    def __init__(self) -> None:
        self._received: signal.Signals | None = None
        self._agreed = False
        self._before: dict[signal.Signals, Any] = {}

    def requested(self) -> bool:
        """Whether to stop now. Several processes ask equally often, and get the same answers."""
        if not hosts.joined():
            return self._received is not None
        self._agreed |= multihost_utils.reached_preemption_sync_point(next(_questions))
        return self._agreed

    @property
    def reason(self) -> str:
        """The name of the first signal; several processes know SIGTERM only."""
        return self._received.name if self._received else signal.SIGTERM.name

    def __enter__(self) -> "Preemption":
        caught = (signal.SIGINT,) if hosts.joined() else (signal.SIGTERM, signal.SIGINT)
        self._before = {s: signal.signal(s, self._handle) for s in caught}
        return self

    def __exit__(self, *_: object) -> None:
        for s, handler in self._before.items():
            signal.signal(s, handler)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._received and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = self._received or signal.Signals(number)
        if hosts.joined():
            os.kill(os.getpid(), signal.SIGTERM)  # for jax, which tells the others
