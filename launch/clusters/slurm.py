"""A job of Slurm: an sbatch script that goes back into the queue when it is told to stop.

--job.account=A --job.partition=P       whom it is charged to and where it runs; the cluster's own where not said
--job.nodes=2 --job.tasks=8             nodes, and processes on each: one, or one for each GPU
--job.gpus=8 --job.cpus=12              GPUs of a node, CPUs of a process
--job.time=1-00:00:00 --job.notice=300  the longest, and how many seconds before its end SIGTERM says so
--job.setup="module load cuda"          a line to run first; may be repeated
--job.sbatch="--exclude=n1,n2"          a further option of sbatch; may be repeated
"""

import dataclasses
import getpass
import math
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gen import files
from gen.bounds import Bounded, Count, Natural
from launch.clusters.render import render
from launch.clusters.request import Request

SEEN = True  # the machine that submits has the cluster's directories
PROGRAMS = ("launch.train", "launch.sample")
PATIENCE = 60  # seconds for the processes of one run to end after the first; shares of a list end when they do
UNLIMITED = ("0", "unlimited", "infinite")
TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<first>\d+)(?::(?P<second>\d+))?(?::(?P<third>\d+))?")


@dataclasses.dataclass(frozen=True)
class Job(Bounded):
    """Settings under --job."""

    account: str | None = None
    partition: str | None = None
    nodes: Count = 1
    tasks: Count = 1
    gpus: Natural = 0
    cpus: Natural = 0
    time: str | None = None
    notice: Count = 300
    setup: tuple[str, ...] = ()
    sbatch: tuple[str, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        if self.gpus and self.tasks not in (1, self.gpus):
            raise ValueError(
                f"job.tasks={self.tasks} with job.gpus={self.gpus}: a node has one process with all of its GPUs, or one"
                " for each, as otherwise some would be idle"
            )
        if self.time is not None:
            self.check_time(self.time, f"job.time={self.time}")

    def check_time(self, time: str, said: str) -> None:
        """A job that is told to stop as soon as it begins would go back into its queue for ever."""
        if seconds(time) < 2 * self.notice:
            raise ValueError(
                f"{said} is less than twice the {self.notice} seconds of job.notice before its end, when it is told to"
                " stop: give it more --job.time, or less --job.notice"
            )


def seconds(time: str) -> float:
    """A time as Slurm writes it: minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes, ...

    Raises ValueError for another form.
    """
    if time.lower() in UNLIMITED:
        return math.inf
    found = TIME.fullmatch(time)
    if found is None:
        raise ValueError(f"job.time={time} is not a time of Slurm's, as 90, 12:00:00 or 1-00:00:00")
    days, first, second, third = (int(part or 0) for part in found.groups())
    if found["days"] is not None:
        return ((days * 24 + first) * 60 + second) * 60 + third
    if found["third"] is not None:
        return (first * 60 + second) * 60 + third
    return first * 60 + second


def script(request: Request, job: Job, template: str | None) -> str:
    command = shlex.join([sys.executable, *request.words])
    wait = PATIENCE if request.words[1] == "launch.train" else 0
    values = {"name": request.name, "job": job, "command": command, "wait": wait, "array": None}
    return fill({**values, "log": str(log(request)), "comment": comment(request.place)}, template)


def fill(values: Mapping[str, Any], template: str | None = None) -> str:
    return render("slurm.sbatch", {"home": str(Path.cwd()), "python": sys.executable, **values}, template)


def log(request: Request) -> Path:
    """Where the job's output goes, with the number of the job in place of %j."""
    return request.workdir.absolute() / "slurm-%j.out"


def comment(place: Path) -> str:
    """By which Slurm knows the jobs that write into a directory."""
    return f"gen {place.resolve()}"


def queued(place: Path) -> list[str]:
    """The jobs that write into a directory and have not ended, each with its state and, where it waits, why. Raises
    ValueError where Slurm does not answer."""
    command = ["squeue", "--me", "--noheader", "--format=%F %T %r|%k"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"squeue does not answer: {' '.join(done.stderr.split())}")
    lines = [line.strip().split("|", 1) for line in done.stdout.splitlines()]
    return sorted({job.removesuffix(" None") for job, *said in lines if said == [comment(place)]})


def notes(request: Request, job: Job) -> list[str]:
    """What a script that is only printed leaves to whoever hands it in, and to the cluster."""
    said = []
    if shutil.which("sbatch"):
        check(job)
    else:
        missing = [name for name in ("account", "partition") if getattr(job, name) is None]
        said = [f"no --job.{name} is given: the cluster has to have one of its own for you" for name in missing]
    folder = log(request).parent
    return said if folder.is_dir() else [*said, f"mkdir -p {shlex.quote(str(folder))} first: Slurm makes no directory"]


def submit(request: Request, job: Job, text: str) -> str:
    """Hands the script to sbatch; returns what to tell. Raises ValueError where the cluster would refuse it, or has a
    job of that directory."""
    check(job)
    if busy := queued(request.place):
        raise ValueError(f"{request.place} has a job already, {', '.join(busy)}: scancel it first to queue another")
    number = hand_in(request.workdir.absolute() / "submit.sbatch", text)
    return f"job {number} is queued; it says what it does in {str(log(request)).replace('%j', number)}"


def hand_in(path: Path, text: str) -> str:
    """Writes a script and gives it to sbatch; returns the number of its job. Raises ValueError where it is refused."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(path, text)
    sbatch = lambda how: subprocess.run(["sbatch", how, str(path)], capture_output=True, text=True, check=False)
    done = sbatch("--parsable")
    if done.returncode:
        raise ValueError(f"sbatch refused {path}: {' '.join(done.stderr.split())}")
    tried = sbatch("--test-only")
    if tried.returncode:  # it would wait, for ever if the cluster stays as it is
        print(f"note: as the cluster is now this job cannot start: {' '.join(tried.stderr.split())}", file=sys.stderr)
    return done.stdout.strip().split(";")[0]


def check(job: Job) -> None:
    """Raises ValueError where there is no cluster, or it needs a partition, an account or a time that was not given,
    naming those that there are."""
    if shutil.which("sbatch") is None:
        raise ValueError("there is no sbatch on this machine: run this where jobs are submitted, or print it instead")
    _check_partition(job)
    if job.account is None and any(_by_account(line) for line in ask("scontrol", "show", "config")):
        user = getpass.getuser()
        own = ask("sacctmgr", "--noheader", "--parsable2", "show", "user", user, "format=DefaultAccount")
        if not any(own):
            every = ask("sacctmgr", "--noheader", "--parsable2", "show", "assoc", f"user={user}", "format=Account")
            raise ValueError(
                f"this cluster charges jobs to accounts, and {user} has no default one: give --job.account,"
                f" of {', '.join(sorted(set(every))) or 'those that its administrators gave you'}"
            )


def _check_partition(job: Job) -> None:
    # a name, with * behind the default one; the time of a job that says none, if there is one; the most that one has
    known = [line.split() for line in ask("sinfo", "--noheader", "--format=%P %L %l")]
    if job.partition is None:
        own = [row for row in known if row[0].endswith("*")]
    else:
        own = [row for row in known if row[0].rstrip("*") in job.partition.split(",")]  # some are hidden from sinfo
    if known and not own and job.partition is None:
        names = ", ".join(dict.fromkeys(name for name, *_ in known))
        raise ValueError(f"this cluster has no default partition: give --job.partition, of {names}")
    for name, *times in own if job.time is None else []:
        if time := next((time for time in times if time != "n/a"), None):
            job.check_time(time, f"partition {name.rstrip('*')} gives a job {time}, which")


def ask(*command: str) -> list[str]:
    """The lines that a program of Slurm answers with; none where it does not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def _by_account(line: str) -> bool:
    """Whether a line of Slurm's configuration says that jobs need an account."""
    return line.startswith("AccountingStorageEnforce") and "associations" in line
