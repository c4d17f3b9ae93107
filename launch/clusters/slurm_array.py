"""Trials as an array of Slurm jobs: the script of launch.submit, whose log and command each job reads from a line of a
file."""

import dataclasses
import hashlib
import shlex
import sys
from collections.abc import Sequence

from gen import files
from gen.sweep.sweep_dir import Sweep
from launch.clusters import slurm
from launch.clusters.request import label


@dataclasses.dataclass(frozen=True)
class SlurmArray:
    """Jobs by the number of their line in a file, at most `most` at a time where that is not 0."""

    file: str
    count: int
    most: int

    @property
    def indices(self) -> str:
        return f"1-{self.count}" + (f"%{self.most}" if self.most else "")


def submit(sweep: Sweep, trials: Sequence[str], job: slurm.Job, most: int) -> str:
    """Queues them; returns what to tell. Raises ValueError where the cluster refuses it."""
    slurm.check(job)
    home = sweep.path.absolute()
    lines = "".join(line(sweep, trial) + "\n" for trial in trials)
    # a file for each list: jobs that are requeued read theirs again
    file = home / f"array-{hashlib.sha256(lines.encode()).hexdigest()[:8]}.txt"
    files.write_text(file, lines)
    array = SlurmArray(str(file), len(trials), most)
    number = slurm.hand_in(home / "submit.sbatch", script(sweep, job, array))
    return f"job {number} is queued, with {len(trials)} trials; the same command again shows how far they are"


def line(sweep: Sweep, trial: str) -> str:
    return shlex.join([str(sweep.log(trial).absolute()), sys.executable, *sweep.words(trial)])


def script(sweep: Sweep, job: slurm.Job, array: SlurmArray) -> str:
    log = sweep.path.absolute() / "trials" / "slurm-%A-%a.out"  # what is said before a trial's own log is open
    values = {"name": label(sweep.path.name), "log": str(log), "comment": slurm.comment(sweep.path)}
    return slurm.fill({**values, "job": job, "array": array, "command": '"$@"', "wait": slurm.PATIENCE})
