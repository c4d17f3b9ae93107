"""A TPU with a virtual machine a host, over ssh: the code is copied to all, and a unit of systemd runs it on each.

--job.tpu=NAME --job.zone=ZONE          as `gcloud compute tpus tpu-vm list` shows them
--job.project=PROJECT                   gcloud's own where not said
"""

import dataclasses
import shlex
import shutil
import subprocess
from pathlib import Path

from gen.bounds import Bounded
from launch.clusters.render import render
from launch.clusters.request import Request

SEEN = False
PROGRAMS = ("launch.train",)
PYTHON = ".venv/bin/python"


@dataclasses.dataclass(frozen=True)
class Job(Bounded):
    """Settings under --job."""

    tpu: str | None = None
    zone: str | None = None
    project: str | None = None


def script(request: Request, job: Job, template: str | None) -> str:
    """Raises ValueError where it is not said which TPU, or the code is not as it was committed."""
    for name in ("tpu", "zone"):
        if getattr(job, name) is None:
            raise ValueError(f"--job.{name} is missing; python -m launch.submit --help says what it is")
    if not request.workdir.is_absolute():
        raise ValueError(f"--workdir={request.workdir} is relative: give the directory that all hosts see")
    name, here = f"gen-{request.name}", Path.cwd()  # no unit of the system's own is called that
    code = f"$HOME/.gen/{request.name}"  # a place of gen's own: nobody else's directory is removed
    idle = f'if systemctl is-active --quiet {name}; then echo "{name} runs already: stop it first" >&2; exit 1; fi'
    unpack = f"rm -rf {code} && mkdir -p {code} && tar --extract --gzip --file={name}.tar.gz --directory={code}"
    install = f"cd {code} && make .venv/ready && .uv/bin/uv sync --frozen --inexact --group dev --extra tpu"
    run = f"{code}/{PYTHON} " + shlex.join(["-m", "launch.again", "--", PYTHON, *request.words])
    unit = f"--unit={name} --uid=$USER --collect --property=TimeoutStopSec=600 --property=KillMode=mixed"
    return render(
        "tpu_vm.sh",
        {
            "name": name,
            "job": job,
            "home": str(here),
            "commit": commit(here),
            "setup": f"{idle}; {unpack} && {install}",
            "start": f"sudo systemd-run {unit} --working-directory={code} {run}",
        },
        template,
    )


def commit(here: Path) -> str:
    """Raises ValueError where there is no commit, or the tree differs from it."""
    git = lambda *words: subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=False)
    head, changed = git("rev-parse", "HEAD"), git("status", "--porcelain")
    if head.returncode:
        raise ValueError(f"{here} is not a git repository: the code goes to the hosts as it was committed")
    if changed.stdout.strip():
        raise ValueError(f"{here} has changes that are not committed, and would not reach the hosts: commit them first")
    return head.stdout.strip()


def notes(request: Request, job: Job) -> list[str]:
    return []


def submit(request: Request, job: Job, text: str) -> str:
    """Runs the script until whoever follows it stops; returns what to tell. Raises ValueError where there is no gcloud,
    or it fails."""
    if shutil.which("gcloud") is None:
        raise ValueError("there is no gcloud on this machine: run this where there is, or add --print > pod.sh")
    try:
        code = subprocess.run(["bash", "-s"], input=text, text=True, check=False).returncode
    except KeyboardInterrupt:  # who has seen enough presses Ctrl-C, which ends the script as well
        code = 0
    if code:
        raise ValueError(f"the script ended with {code}; add --print > pod.sh to see it, and to follow or stop the run")
    return f"{request.name} runs on {job.tpu}; add --print > pod.sh to follow or stop it"
