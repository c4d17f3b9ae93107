"""A JobSet of Kubernetes: indexed pods, one a host, with the rights that JAX needs and the rules of restarting.

--job.image=REGISTRY/gen:TAG            what launch/clusters/Containerfile builds
--job.claim=NAME --job.mount=/shared    the volume that all hosts see, and where
--job.hosts=4 --job.gpus=8              pods, and GPUs of each; or, of TPUs on GKE, whose hosts follow:
--job.tpu_type=tpu-v5p-slice --job.tpu_topology=4x4x4 --job.tpus=4
--job.namespace=default --job.queue=Q   and a local queue of Kueue, if there is one
--job.restarts=100 --job.grace=600      restarts after crashes, and seconds from SIGTERM to SIGKILL
"""

import dataclasses
import math
import re
import shutil
import subprocess

from gen.bounds import Bounded, Count, Natural
from launch.clusters.render import render
from launch.clusters.request import Request

SEEN = False
PROGRAMS = ("launch.train",)


@dataclasses.dataclass(frozen=True)
class Job(Bounded):
    """Settings under --job."""

    image: str | None = None
    claim: str | None = None
    mount: str = "/shared"
    hosts: Count = 1
    gpus: Natural = 0
    tpu_type: str | None = None
    tpu_topology: str | None = None
    tpus: Natural = 0
    namespace: str = "default"
    queue: str | None = None
    restarts: Count = 100
    grace: Count = 600


def script(request: Request, job: Job, template: str | None) -> str:
    """Raises ValueError for settings that do not fit each other, and a directory that the hosts do not see."""
    for name in ("image", "claim"):
        if getattr(job, name) is None:
            raise ValueError(f"--job.{name} is missing; python -m launch.submit --help says what it is")
    if not request.workdir.is_relative_to(job.mount):
        raise ValueError(f"--workdir={request.workdir} is not under {job.mount}, which is what all hosts see")
    values = {"name": request.name, "job": complete(job), "command": ["python", *request.words]}
    return render("jobset.yaml", values, template)


def complete(job: Job) -> Job:
    """With the hosts of a TPU slice counted. Raises ValueError where its keys do not fit each other."""
    tpu = (job.tpu_type is not None, job.tpu_topology is not None, job.tpus > 0)
    if not any(tpu):
        return job
    if not all(tpu) or job.gpus:
        raise ValueError("a TPU needs all of --job.tpu_type, --job.tpu_topology and --job.tpus, and has no --job.gpus")
    assert job.tpu_topology is not None
    sides = job.tpu_topology.split("x")
    if not all(side.isdigit() for side in sides):
        raise ValueError(f"--job.tpu_topology={job.tpu_topology} is not the shape of a slice, as 4x4x4")
    chips = math.prod(map(int, sides))
    if chips % job.tpus:
        raise ValueError(f"--job.tpus={job.tpus} chips a host do not divide the {chips} of {job.tpu_topology}")
    return dataclasses.replace(job, hosts=chips // job.tpus)


def notes(request: Request, job: Job) -> list[str]:
    return []


def submit(request: Request, job: Job, text: str) -> str:
    """Hands it to kubectl; returns what to tell. Raises ValueError where there is none, or it is refused."""
    if shutil.which("kubectl") is None:
        raise ValueError("there is no kubectl on this machine: run this where there is, or add --print > job.yaml")
    done = subprocess.run(["kubectl", "apply", "-f", "-"], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"kubectl refused it: {' '.join(done.stderr.split())}")
    where = f"kubectl --namespace={job.namespace}"
    if re.search(r"jobset\S* unchanged", done.stdout):
        raise ValueError(
            f"job set {request.name} is there already, and would not be started again: see what became of it, then"
            f" {where} delete jobset {request.name}"
        )
    first = f"jobset.sigs.k8s.io/jobset-name={request.name},batch.kubernetes.io/job-completion-index=0"
    return f"job set {request.name} is applied; {where} logs --follow --tail=-1 --selector={first} says what it does"
