"""A Slurm of one node on this machine, from Debian's packages, for as long as it is entered.

with Cluster(Path("somewhere")) as cluster:
    number = cluster.run("sbatch", "--parsable", "job.sbatch")
    cluster.wait(number, "RUNNING", 60)

Two partitions: `low`, whose jobs are pre-empted by those of `high`, with a time of grace, and go back into the queue.
"""

import dataclasses
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from gen.hosts import free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
ENDED = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL")
REQUEUED = 5  # seconds for which Slurm holds back what was requeued: the life of a credential
CONFIG = """
ClusterName=gen
SlurmctldHost=localhost
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={home}/munge.socket,cred_expire={requeued}
CredType=cred/munge
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd.pid
SlurmctldLogFile={home}/slurmctld.log
SlurmdLogFile={home}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=20
MinJobAge=7200
ReturnToService=2
NodeName=localhost CPUs=2
PartitionName=low Nodes=localhost PriorityTier=1 PreemptMode=REQUEUE GraceTime=60 Default=YES
PartitionName=high Nodes=localhost PriorityTier=2 PreemptMode=OFF
"""


@dataclasses.dataclass
class Cluster:
    """Its files are under `home`, which must be short: sockets are named by it."""

    home: Path

    def __enter__(self) -> "Cluster":
        for name in ("state", "spool"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        ports = {"controller": free_port("127.0.0.1"), "node": free_port("127.0.0.1")}
        user = subprocess.run(["id", "--user", "--name"], capture_output=True, text=True, check=True).stdout.strip()
        self.config = self.home / "slurm.conf"
        self.config.write_text(CONFIG.format(home=self.home, user=user, requeued=REQUEUED, **ports))
        key = self.home / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        files = {"key": "munge.key", "socket": "munge.socket", "pid": "munged.pid", "log": "munged.log"}
        where = [f"--{name}-file={self.home / file}" for name, file in files.items() if name != "socket"]
        self.run("munged", "--force", *where, f"--socket={self.home}/munge.socket", f"--seed-file={self.home}/seed")
        self.run("slurmctld", "-c")
        self.run("slurmd")
        self.until(lambda: "idle" in self.run("sinfo", "--noheader", "--format=%T"), 60, "the node is not idle")
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["scancel", "--state=RUNNING", "--signal=KILL", "--full"], env=self.env, check=False)
        for name in ("slurmd", "slurmctld", "munged"):
            pid = self.home / f"{name}.pid"
            if pid.exists():
                os.kill(int(pid.read_text()), signal.SIGTERM)
                self.until(lambda pid=pid: not pid.exists(), 30, f"{name} does not end")

    @property
    def env(self) -> dict[str, str]:
        return os.environ | {"SLURM_CONF": str(self.config)}

    def run(self, *command: str) -> str:
        """What a program of Slurm says."""
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def job(self, number: str) -> dict[str, str]:
        """What Slurm knows of a job."""
        return dict(re.findall(r"(\w+)=(\S*)", self.run("scontrol", "show", "job", number)))

    def wait(self, number: str, state: str, seconds: float) -> None:
        """Until a job is in a state; not any longer when it has ended in another."""

        def there() -> bool:
            now = self.job(number)["JobState"]
            assert now == state or now not in ENDED, f"job {number} is {now}, not {state}"
            return now == state

        self.until(there, seconds, f"job {number} is not {state}")

    def until(self, true, seconds: float, otherwise: str) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"{otherwise} after {seconds} s:\n{self.log()}"
            time.sleep(0.2)

    def log(self) -> str:
        return "".join(f"{path}\n{path.read_text()[-2000:]}\n" for path in sorted(self.home.glob("*.log")))
