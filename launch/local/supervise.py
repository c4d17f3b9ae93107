"""What a cluster does for a run of several processes: start all, wait, and decide whether to start them again.

A run of many processes is one thing: when one of them ends, the others cannot go on, and have a time of grace in which
to notice.
"""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from gen import status

LONGEST_PAUSE = 60.0  # seconds
POLL = 0.05


@dataclasses.dataclass(frozen=True)
class Rule:
    """`grace` seconds for the rest to end; `pause` before a restart after a crash, doubling; `idle` restarts without a
    new checkpoint before giving up."""

    grace: float = 60.0
    pause: float = 1.0
    idle: int = 3


def supervise(command: Sequence[str], processes: int, devices: int | None, rule: Rule) -> int:
    """Runs the command to its end, over restarts; returns its exit status."""
    stopping = Stopping()
    idle, pause = 0, rule.pause
    with stopping:
        while True:
            before = saved(command)
            code = attempt(command, processes, devices, rule.grace, stopping)
            if stopping.asked or code in status.FINAL:
                return code
            advanced = saved(command) != before
            idle, pause = (0, rule.pause) if advanced else (idle + 1, min(2 * pause, LONGEST_PAUSE))
            if idle > rule.idle:
                say(f"ended with {code}, {idle} times in a row without a new checkpoint: not started again")
                return code
            wait = 0.0 if code == status.PREEMPTED else pause
            say(f"ended with {code}; started again" + (f" in {wait:.1f} s" if wait else ""))
            stopping.sleep(wait)
            if stopping.asked:
                return code


class Stopping:
    """Remembers, while entered, that a signal asked to stop, and passes it on."""

    def __init__(self) -> None:
        self.asked = False
        self.children: list[subprocess.Popen] = []

    def __enter__(self) -> "Stopping":
        self._before = {s: signal.signal(s, self._handle) for s in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for s, handler in self._before.items():
            signal.signal(s, handler)

    def sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self.asked and time.monotonic() < end:
            time.sleep(POLL)

    def _handle(self, number: int, _: FrameType | None) -> None:
        self.asked = True
        for child in self.children:
            if child.poll() is None:
                child.send_signal(number)


def attempt(command: Sequence[str], processes: int, devices: int | None, grace: float, stopping: Stopping) -> int:
    """Starts all processes once and waits for all of them; returns the status of the run."""
    coordinator = f"127.0.0.1:{free_port()}"
    children = stopping.children = [start(command, i, processes, devices, coordinator) for i in range(processes)]
    printers = [threading.Thread(target=relay, args=(i, child)) for i, child in enumerate(children)]
    for printer in printers:
        printer.start()
    deadline = None
    while any(child.poll() is None for child in children):
        ended = any(child.poll() is not None for child in children)
        if deadline is None and (ended or stopping.asked):
            deadline = time.monotonic() + grace
        if deadline is not None and time.monotonic() > deadline:
            for child in children:
                child.kill()
        time.sleep(POLL)
    for printer in printers:
        printer.join()
    return verdict([child.returncode for child in children])


def verdict(codes: Sequence[int]) -> int:
    """One status for a run whose processes ended with these; a signal's number is negative in them.

    What is final for one is so for all. Otherwise the most telling: one that was lost first, and made others leave.
    """
    for final in (status.USAGE, status.DIVERGED, status.NO_CHECKPOINT):
        if final in codes:
            return final
    failed = [code for code in codes if code not in (status.DONE, status.PREEMPTED)]
    if failed:
        first = next((code for code in failed if code != status.LOST), status.LOST)
        return 128 - first if first < 0 else first
    return status.PREEMPTED if status.PREEMPTED in codes else status.DONE


def start(
    command: Sequence[str], index: int, processes: int, devices: int | None, coordinator: str
) -> subprocess.Popen:
    """One process, in a group of its own, so that Ctrl-C reaches it through its supervisor alone."""
    place = [f"--coordinator={coordinator}", "--bind=127.0.0.1", f"--processes={processes}", f"--process={index}"]
    fake = {} if devices is None else {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
    env = {**os.environ, **fake, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [*command, *place],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
    )


def relay(index: int, child: subprocess.Popen) -> None:
    """Prints what a process says, with its number in front."""
    assert child.stdout is not None
    with child.stdout as said:
        for line in said:
            sys.stdout.write(f"[{index}] {line}")
            sys.stdout.flush()


def saved(command: Sequence[str]) -> set[str]:
    """The checkpoints under the workdir of a command."""
    found = (path for workdir in workdirs(command) for path in workdir.glob("**/checkpoints/*"))
    return {str(path) for path in found if path.name.isdigit()}


def workdirs(command: Sequence[str]) -> Iterator[Path]:
    for argument, following in zip(command, [*command[1:], ""], strict=True):
        name, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name == "workdir":
            yield Path(value if equals else following)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def say(line: str) -> None:
    print(f"launch.local: {line}", flush=True)
