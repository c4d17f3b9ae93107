"""What a cluster does for a run: start its processes, wait, and decide whether to start them again."""

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gen import exit_codes
from gen.bounds import Bounded, Natural, NotNegative
from gen.messages import harmless
from gen.supervise.attempt import CannotStart, ChildProcess, Stopping, attempt
from gen.training.lock import held

LONGEST_PAUSE = 60.0  # seconds


@dataclasses.dataclass(frozen=True)
class RestartPolicy(Bounded):
    """`grace` seconds for the rest to end; `pause` before the first restart after a crash, doubling; `idle` restarts
    without a new checkpoint before giving up; statuses that are `final` are not run again."""

    grace: NotNegative = 60.0
    pause: NotNegative = 1.0
    idle: Natural = 3
    final: Sequence[int] = exit_codes.FINAL

    def wait(self, code: int, idle: int) -> float:
        """Seconds before a restart, after `idle` ends in a row without a new checkpoint."""
        return 0.0 if code == exit_codes.PREEMPTED else min(self.pause * 2 ** max(idle - 1, 0), LONGEST_PAUSE)


def supervise(
    command: Sequence[str], processes: Callable[[], Sequence[ChildProcess]], rule: RestartPolicy, name: str
) -> int:
    """Runs the processes that a command makes to their end, over restarts; returns the exit status of the run. `name`
    is said in front of what was decided."""
    say = lambda line: print(f"{name}: {line}", flush=True)
    idle = 0
    with Stopping() as stopping:
        while True:
            before = saved(command)
            try:
                code = attempt(processes(), rule.grace, stopping)
            except CannotStart as error:
                print(f"error: {harmless(str(error))}", file=sys.stderr)
                return exit_codes.USAGE
            if stopping.asked or code in rule.final:
                return code
            idle = idle + 1 if saved(command) == before or taken(command) else 0
            if idle > rule.idle:
                say(f"ended with {code}, {idle} times in a row without a new checkpoint: not started again")
                return code
            wait = rule.wait(code, idle)
            say(f"ended with {code}; started again" + (f" in {wait:.1f} s" if wait else ""))
            stopping.sleep(wait)
            if stopping.asked:
                return code


def saved(command: Sequence[str]) -> set[str]:
    """The checkpoints under the workdir of a command, and how long its lists of samples are."""
    found = (path for workdir in places(command, "workdir") for path in workdir.glob("**/checkpoints/*"))
    lists = (path for out in places(command, "workdir", "out") for path in out.glob("**/samples*.jsonl"))
    return {str(path) for path in found if path.name.isdigit()} | {f"{path} {path.stat().st_size}" for path in lists}


def taken(command: Sequence[str]) -> bool:
    """Whether another job has the workdir of a command: the checkpoints that come are then not its own."""
    return any(held(workdir / "lock") for workdir in places(command, "workdir"))


def places(command: Sequence[str], *names: str) -> Iterator[Path]:
    """The directories that flags of a command name."""
    for argument, following in zip(command, [*command[1:], ""], strict=True):
        name, equals, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name in names:
            yield Path(value if equals else following)
