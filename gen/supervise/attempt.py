"""One attempt of a run: its processes, one or several, are started, waited for, and ended.

A run of many processes is one thing: when one of them ends, the others cannot go on, and have a time of grace in which
to notice. Half of it is theirs, then they are asked by SIGTERM, and at its end killed, with all that they have started.
"""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import IO

from gen import exit_codes

POLL = 0.05  # seconds


@dataclasses.dataclass(frozen=True)
class ChildProcess:
    """A command, and what its environment has beside that of whoever starts it."""

    command: Sequence[str]
    env: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)  # a secret may be among it


class Stopping:
    """Remembers, while entered, that a signal asked to stop. It is passed on by whoever waits for the processes, so
    that it reaches those as well that are only being started."""

    def __init__(self) -> None:
        self.asked = False
        self._received: list[int] = []

    def __enter__(self) -> "Stopping":
        self._before = {s: signal.signal(s, self._handle) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for s, handler in self._before.items():
            signal.signal(s, handler)

    def received(self) -> Iterator[int]:
        """The signals that nobody has asked for yet."""
        while self._received:
            yield self._received.pop(0)

    def sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self.asked and time.monotonic() < end:
            self.pause()

    def pause(self) -> None:
        time.sleep(POLL)

    def _handle(self, number: int, _: FrameType | None) -> None:
        self.asked = True
        self._received.append(number)


class CannotStart(Exception):
    """There is no such program, or the machine has no room for it."""


def attempt(processes: Sequence[ChildProcess], grace: float, stopping: Stopping) -> int:
    """Starts all processes once and waits for all of them; returns the status of the run. One alone speaks for itself,
    of several each line has the number of its process in front."""
    children, printers = list[subprocess.Popen](), list[threading.Thread]()
    try:
        for index, process in enumerate(processes):
            children.append(start(process, subprocess.PIPE if len(processes) > 1 else None))
            if children[-1].stdout is not None:
                printers.append(threading.Thread(target=relay, args=(index, children[-1])))
                printers[-1].start()
        return verdict(wait(children, grace, stopping))
    finally:
        for child in children:
            kill(child)
        for printer in printers:
            printer.join()


def wait(children: Sequence[subprocess.Popen], grace: float, stopping: Stopping) -> list[int]:
    """Waits for all, passes signals on, and ends those that do not leave; returns their codes as they ended."""
    left, codes = list(children), list[int]()
    begin, told = None, False  # when the grace began, and whether the rest have been asked
    while left:
        for child in [child for child in left if child.poll() is not None]:
            left.remove(child)
            codes.append(child.returncode)
        for number in stopping.received():
            told = send(left, number)
        now = time.monotonic()
        if begin is None and (codes or stopping.asked):
            begin = now
        if begin is not None and now >= begin + grace / 2 and not told:
            told = send(left, signal.SIGTERM)
        if begin is not None and now >= begin + grace:
            for child in left:
                kill(child)
        time.sleep(POLL)
    return codes


def send(children: Sequence[subprocess.Popen], number: int) -> bool:
    """To the processes alone: what they have started they may need in order to save."""
    for child in children:
        child.send_signal(number)
    return True


def kill(child: subprocess.Popen) -> None:
    """A process, if it is still there, with all that it has started and left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def verdict(codes: Sequence[int]) -> int:
    """One status for a run whose processes ended with these, in this order; a signal's number is negative in them.

    What is final for one is so for all. Otherwise the most telling: one that was lost first, and made others leave.
    """
    for final in (exit_codes.USAGE, exit_codes.DIVERGED, exit_codes.NO_CHECKPOINT):
        if final in codes:
            return final
    failed = [code for code in codes if code not in (exit_codes.DONE, exit_codes.PREEMPTED)]
    if failed:
        first = next((code for code in failed if code != exit_codes.LOST), exit_codes.LOST)
        return 128 - first if first < 0 else first
    return exit_codes.PREEMPTED if exit_codes.PREEMPTED in codes else exit_codes.DONE


def start(process: ChildProcess, output: IO | int | None) -> subprocess.Popen:
    """One process, in a group of its own, so that Ctrl-C reaches it through its supervisor alone, and SIGKILL all that
    it starts. `output` is where what it says goes, None for where its supervisor's does. Raises CannotStart."""
    try:
        return subprocess.Popen(
            process.command,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **process.env},
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise CannotStart(
            f"cannot start {process.command[0]}: {reason}; give a program that runs here after --"
        ) from error


def relay(index: int, child: subprocess.Popen) -> None:
    """Prints what a process says, with its number in front."""
    assert child.stdout is not None
    with child.stdout as said:
        for line in said:
            sys.stdout.write(f"[{index}] {line}")
            sys.stdout.flush()
