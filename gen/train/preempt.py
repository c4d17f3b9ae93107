"""Stopping when asked: a signal sets a flag, and the loop saves and leaves at its next step.

    with Preemption() as preemption:
        for step in range(steps):
            ...
            if preemption.requested:
                break

SIGTERM is what schedulers send before they take a machine away; SIGINT is Ctrl-C, whose second time interrupts at once
for whoever will not wait for the save. Each process sees its own signals: hosts agree among themselves, if they must.
"""

import signal
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Preemption:
    """While entered, catches SIGTERM and SIGINT; afterwards the handlers of before are back.

    Enter it in the main thread, the only one that may set handlers: ValueError elsewhere.
    """

    def __init__(self) -> None:
        self._received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has asked to stop."""
        return self._received is not None

    @property
    def reason(self) -> str:
        """The name of the first signal, or "" before one came."""
        return self._received.name if self._received else ""

    def __enter__(self) -> "Preemption":
        self._before = {s: signal.signal(s, self._handle) for s in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for s, handler in self._before.items():
            signal.signal(s, handler)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = self._received or signal.Signals(number)
