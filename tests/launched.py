"""Programs of several processes, for tests: launch.local as a user types it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONGEST = 1800  # seconds: the longest proof takes half of it on two idle cores


def environment() -> dict[str, str]:
    """Without the devices that tests give themselves."""
    own = {"XLA_FLAGS": "--xla_backend_optimization_level=0", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    return os.environ | own


def start(processes: int, devices: int, *command: str, local: tuple[str, ...] = ()) -> subprocess.Popen:
    """launch.local with its own flags `local`, running a Python command."""
    how = [f"--processes={processes}", f"--devices={devices}", *local]
    line = [sys.executable, "-m", "launch.local", *how, "--", sys.executable, *command]
    return subprocess.Popen(
        line, cwd=ROOT, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def run(processes: int, devices: int, *command: str, local: tuple[str, ...] = ()) -> tuple[int, str]:
    """Exit status and output of launch.local; of one that hangs, what it has said until it was ended."""
    with start(processes, devices, *command, local=local) as started:
        try:
            output, _ = started.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            started.terminate()
            output, _ = started.communicate(timeout=300)
            return started.returncode, f"{output}\nended after {LONGEST} s"
    return started.returncode, output
