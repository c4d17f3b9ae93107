"""What a cluster does for a run of several processes: start all, wait, and decide whether to start them again."""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from gen import status
from launch.local.attempt import CannotStart, Stopping, attempt

LONGEST_PAUSE = 60.0  # seconds


@dataclasses.dataclass(frozen=True)
class Rule:
    """`grace` seconds for the rest to end; `pause` before the first restart after a crash, doubling; `idle` restarts
    without a new checkpoint before giving up."""

    grace: float = 60.0
    pause: float = 1.0
    idle: int = 3

    def wait(self, code: int, idle: int) -> float:
        """Seconds before a restart, after `idle` ends in a row without a new checkpoint."""
        return 0.0 if code == status.PREEMPTED else min(self.pause * 2 ** max(idle - 1, 0), LONGEST_PAUSE)


def supervise(command: Sequence[str], processes: int, devices: int | None, rule: Rule) -> int:
    """Runs the command to its end, over restarts; returns its exit status."""
    idle = 0
    with Stopping() as stopping:
        while True:
            before = saved(command)
            try:
                code = attempt(command, processes, devices, rule.grace, stopping)
            except CannotStart as error:
                print(f"error: {error}", file=sys.stderr)
                return status.USAGE
            if stopping.asked or code in status.FINAL:
                return code
            idle = idle + 1 if saved(command) == before else 0
            if idle > rule.idle:
                say(f"ended with {code}, {idle} times in a row without a new checkpoint: not started again")
                return code
            wait = rule.wait(code, idle)
            say(f"ended with {code}; started again" + (f" in {wait:.1f} s" if wait else ""))
            stopping.sleep(wait)
            if stopping.asked:
                return code


def saved(command: Sequence[str]) -> set[str]:
    """The checkpoints under the workdir of a command."""
    found = (path for workdir in workdirs(command) for path in workdir.glob("**/checkpoints/*"))
    return {str(path) for path in found if path.name.isdigit()}


def workdirs(command: Sequence[str]) -> Iterator[Path]:
    for argument, following in zip(command, [*command[1:], ""], strict=True):
        name, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name == "workdir":
            yield Path(value if equals else following)


def say(line: str) -> None:
    print(f"launch.local: {line}", flush=True)
