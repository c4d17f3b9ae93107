"""Trials on this machine, some at a time, each a process of its own that launch.again runs to its end.

run(sweep, ["1f6c02a9", ...], jobs=2, tell=print)
"""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

from gen import exit_codes, files
from gen.supervise.attempt import ChildProcess, Stopping, send, start
from gen.sweep import devices
from gen.sweep.sweep_dir import Sweep
from gen.training.lock import held

AGAIN = (sys.executable, "-m", "launch.again")


def run(sweep: Sweep, trials: Sequence[str], jobs: int, tell: Callable[[str, int], None]) -> bool:
    """Runs all, and tells of each its id and exit status; what a trial says goes to its log. One that another job has,
    as what a sweep that was killed left behind, is waited for. Returns whether a signal ended it before the last: the
    trials that it met have saved."""
    waiting, running = list(trials), dict[str, subprocess.Popen]()
    idle, having = devices.shares(jobs), dict[str, dict[str, str]]()
    with Stopping() as stopping:
        try:
            while running or (waiting and not stopping.asked):
                for trial in free(sweep, waiting, 0 if stopping.asked else len(idle)):
                    waiting.remove(trial)
                    having[trial] = idle.pop(0)
                    running[trial] = begin(sweep, trial, having[trial])
                for number in stopping.received():
                    send(list(running.values()), number)
                for trial in [trial for trial, child in running.items() if child.poll() is not None]:
                    code = ended(running.pop(trial))
                    idle.append(having.pop(trial))
                    if code == exit_codes.LOST and held(
                        sweep.place(trial) / "lock"
                    ):  # another job was faster to take it
                        waiting.append(trial)
                    else:
                        tell(trial, code)
                stopping.pause()
        finally:
            send(list(running.values()), signal.SIGTERM)
    return stopping.asked


def free(sweep: Sweep, waiting: Iterable[str], count: int) -> list[str]:
    """The first trials, so many at most, that no job has."""
    return [trial for trial in waiting if count and not held(sweep.place(trial) / "lock")][:count]


def begin(sweep: Sweep, trial: str, share: Mapping[str, str]) -> subprocess.Popen:
    # it is alone, also where this sweep is itself a job of a cluster
    command = [*AGAIN, "--", sys.executable, *sweep.words(trial), "--cluster=none"]
    with files.writing(sweep.log(trial)), files.append(sweep.log(trial)) as log:
        return start(ChildProcess(command, share), log)


def ended(child: subprocess.Popen) -> int:
    return 128 - child.returncode if child.returncode < 0 else child.returncode


def describe(code: int) -> str:
    """An exit status in a word."""
    words = {
        exit_codes.DONE: "done",
        exit_codes.DIVERGED: "diverged",
        exit_codes.PREEMPTED: "stopped, with its state saved",
    }
    return words.get(code, f"failed with {code}")
