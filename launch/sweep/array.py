"""Trials as an array of Slurm jobs: the script of launch.submit, whose command each job reads from a line of a file."""

import dataclasses
import hashlib
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from gen.train import files
from launch.submit import slurm
from launch.submit.render import render
from launch.submit.request import label
from launch.sweep.record import Sweep


@dataclasses.dataclass(frozen=True)
class Array:
    """Jobs by the number of their line in a file, at most `most` at a time where that is not 0."""

    file: str
    count: int
    most: int

    @property
    def indices(self) -> str:
        return f"1-{self.count}" + (f"%{self.most}" if self.most else "")


def submit(sweep: Sweep, trials: Sequence[str], job: slurm.Job, most: int) -> str:
    """Queues them; returns what to tell. Raises ValueError where the cluster refuses it, or the jobs of an earlier call
    are still in its queue."""
    slurm.check(job)
    name = label(f"{sweep.path.name}-{hashlib.sha256(str(sweep.path.absolute()).encode()).hexdigest()[:6]}")
    if busy := queued(name):
        said = ", ".join(sorted(set(busy)))
        raise ValueError(f"jobs of this sweep are still in the queue ({said}): wait for them, or scancel them")
    lines = "".join(shlex.join([sys.executable, *sweep.words(trial)]) + "\n" for trial in trials)
    # a file for each list: jobs that are requeued read theirs again
    file = sweep.path.absolute() / f"array-{hashlib.sha256(lines.encode()).hexdigest()[:8]}.txt"
    files.write_text(file, lines)
    array = Array(str(file), len(trials), most)
    text = script(sweep, job, array, name)
    number = slurm.hand_in(sweep.path.absolute() / "submit.sbatch", text)
    return f"job {number} is queued, with {len(trials)} trials; the same command again shows how far they are"


def queued(name: str) -> list[str]:
    """The jobs of a name that have not ended. Raises ValueError where Slurm does not answer."""
    ask = ["squeue", "--noheader", f"--name={name}", "--format=%A"]
    done = subprocess.run(ask, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"squeue does not answer: {' '.join(done.stderr.split())}")
    return done.stdout.split()


def script(sweep: Sweep, job: slurm.Job, array: Array, name: str) -> str:
    log = sweep.path.absolute() / "trials" / "slurm-%A-%a.out"
    values = {"name": name, "job": job, "home": str(Path.cwd()), "python": sys.executable, "log": str(log)}
    return render("slurm.sbatch", {**values, "array": array, "command": '"$@"', "wait": slurm.PATIENCE})
