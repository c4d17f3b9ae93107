"""launch.submit on a real Slurm of one node: pre-empted, out of time, killed, refused. Run by `make test-slurm`."""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import launched
import pytest
import small
from cluster import PROGRAMS, Cluster

from gen.training import metrics

pytestmark = pytest.mark.slurm

STEPS = 150
TRAIN = (
    *("python", "-m", "launch.train", "--config=configs/lm/gpt2.py:tiny", f"--config.train.steps={STEPS}"),
    *("--config.checkpoint.every=20", "--config.log.every=1", "--join_timeout=120"),
    *("--config.evals.every=100000", "--config.evals.batches=1", "--config.evals.samples=0"),
)


@pytest.fixture(scope="module")
def cluster():
    missing = [name for name in PROGRAMS if shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin") is None]
    assert not missing, f"no {', '.join(missing)} here: `make test-slurm` installs them"
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as home, Cluster(Path(home)) as made:
        yield made


def submit(cluster, workdir, *job, command=TRAIN):
    """The number of the job, which Slurm has queued."""
    how = ("-m", "launch.submit", "--backend=slurm", *(f"--job.{setting}" for setting in job))
    done = subprocess.run(
        [sys.executable, *how, "--", *command, f"--workdir={workdir}"],
        **{"cwd": launched.ROOT, "env": launched.environment() | cluster.env | {"JAX_NUM_CPU_DEVICES": "1"}},
        **{"capture_output": True, "text": True, "check": False},
    )
    assert done.returncode == 0, done.stderr
    return re.search(r"job (\d+) is queued", done.stdout)[1]


def output(workdir, number):
    return (workdir / f"slurm-{number}.out").read_text()


def checkpoints(workdir):
    return sorted(int(path.name) for path in (workdir / "checkpoints").glob("*") if path.name.isdigit())


@pytest.fixture(scope="module")
def undisturbed(cluster, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "undisturbed"
    cluster.wait(submit(cluster, workdir, "partition=low", "tasks=2"), "COMPLETED", 300)
    return workdir


def test_a_run_that_is_preempted_goes_back_into_the_queue_and_ends_with_the_same_bits(cluster, undisturbed, tmp_path):
    workdir = tmp_path / "preempted"
    number = submit(cluster, workdir, "partition=low", "tasks=2", "time=10")
    cluster.until(lambda: checkpoints(workdir), 120, "no checkpoint")
    other = cluster.run(
        "sbatch", "--parsable", "--partition=high", "--ntasks=2", "--wrap=sleep 3", "--output=/dev/null"
    )
    cluster.wait(number, "PENDING", 60)
    cluster.wait(other, "COMPLETED", 60)
    cluster.wait(number, "COMPLETED", 300)
    said = output(workdir, number)
    stopped = int(re.search(r"SIGTERM at step (\d+); state saved", said)[1])
    assert f"resumed at step {stopped} of {STEPS}" in said and cluster.job(number)["Restarts"] == "1"
    check_same(undisturbed, workdir)


def test_a_run_whose_time_is_over_goes_on_when_it_has_some_again(cluster, tmp_path):
    workdir = tmp_path / "out-of-time"
    endless = (*TRAIN, "--config.train.steps=1000000")
    number = submit(cluster, workdir, "partition=low", "tasks=2", "time=1", "notice=25", command=endless)
    resumed = lambda: re.search(r"resumed at step (\d+)", output(workdir, number))
    cluster.wait(number, "RUNNING", 60)
    cluster.until(lambda: (workdir / f"slurm-{number}.out").exists() and resumed(), 240, "it has not come back")
    stopped = int(resumed()[1])
    assert f"SIGTERM at step {stopped}; state saved" in output(workdir, number)
    cluster.until(lambda: checkpoints(workdir)[-1] > stopped, 60, "it has not gone on")
    cluster.run("scancel", number)
    cluster.until(lambda: output(workdir, number).count("state saved") == 2, 60, "the state was not saved")
    assert cluster.job(number)["Restarts"] == "1"
    steps = [row["step"] for row in metrics.read(workdir / "metrics.jsonl") if "loss" in row]
    assert steps == list(range(steps[-1] + 1)) and steps[-1] > stopped


def test_a_process_that_is_killed_is_replaced_in_the_same_allocation(cluster, undisturbed, tmp_path):
    workdir = tmp_path / "killed"
    number = submit(cluster, workdir, "partition=low", "tasks=2", "time=10")
    cluster.until(lambda: checkpoints(workdir), 120, "no checkpoint")
    subprocess.run(
        ["pkill", "-KILL", "--oldest", "--full", f"^{sys.executable} -m launch.train.*{workdir}"], check=True
    )
    cluster.wait(number, "COMPLETED", 300)
    assert "launch.again: ended with" in output(workdir, number) and cluster.job(number)["Restarts"] == "0"
    check_same(undisturbed, workdir)


def test_what_starting_again_cannot_mend_is_not_started_again(cluster, undisturbed, tmp_path):
    workdir = tmp_path / "other"
    shutil.copytree(undisturbed, workdir)
    other = (*TRAIN, "--config.model.transformer.layers=3")
    number = submit(cluster, workdir, "partition=low", "tasks=2", command=other)
    cluster.wait(number, "FAILED", 120)
    seen = cluster.job(number)
    assert seen["ExitCode"] == "2:0" and seen["Restarts"] == "0"
    assert "belongs to another config: model.transformer.layers" in output(workdir, number)


def test_a_job_that_is_cancelled_stays_cancelled(cluster, tmp_path):
    workdir = tmp_path / "cancelled"
    number = submit(cluster, workdir, "partition=low", "tasks=2")
    cluster.until(lambda: checkpoints(workdir), 120, "no checkpoint")
    cluster.run("scancel", number)
    cluster.wait(number, "CANCELLED", 60)
    cluster.until(lambda: "state saved" in output(workdir, number), 60, "the state was not saved")
    assert cluster.job(number)["Restarts"] == "0"


def test_a_sweep_is_an_array_of_jobs_each_of_which_goes_back_into_the_queue_alone(cluster, tmp_path):
    config = tmp_path / "swept.py"
    config.write_text(
        "from configs.lm.gpt2 import VARIANTS, get_config\nfrom gen.sweep import over\n"
        "def sweep(): return over('optim.lr', 1e-3, 2e-3, 3e-3)\n"
    )
    words = [f"--config={config}:tiny", f"--workdir={tmp_path / 'sweep'}", "--config.train.steps=100"]

    def sweep():
        done = subprocess.run(
            [sys.executable, "-m", "launch.sweep", "--backend=slurm", "--job.partition=low", *words],
            **{"cwd": launched.ROOT, "env": launched.environment() | cluster.env | {"JAX_NUM_CPU_DEVICES": "1"}},
            **{"capture_output": True, "text": True, "check": False},
        )
        return done.returncode, done.stdout + done.stderr

    code, said = sweep()
    assert code == 0 and "with 3 trials" in said, said
    number = re.search(r"job (\d+) is queued", said)[1]
    code, said = sweep()
    assert code == 0 and f"this sweep is in the queue, as {number} " in said and "3 trials" in said, said
    # one of them has the number of the whole array
    numbers = dict(
        line.split() for line in cluster.run("squeue", "--noheader", "--array", "--format=%A %K").split("\n")
    )
    index = int(numbers[number])
    lines = next((tmp_path / "sweep").glob("array-*.txt")).read_text().splitlines()
    log = lines[index - 1].split()[0]
    trial = Path(log).with_suffix("")
    cluster.until(lambda: (trial / "metrics.jsonl").exists(), 120, "no step")
    cluster.run("scancel", "--signal=TERM", f"{number}_{index}")
    cluster.until(lambda: not cluster.run("squeue", "--noheader"), 240, "the array has not ended")
    code, said = sweep()
    assert code == 0 and "3 trials (3 done)" in said and "is queued" not in said, said
    assert {i: cluster.job(f"{number}_{i}")["Restarts"] for i in (1, 2, 3)} == {1: "0", 2: "0", 3: "0"} | {index: "1"}
    assert "SIGTERM at step" in Path(log).read_text() and "resumed at step" in Path(log).read_text()


def check_same(undisturbed, workdir):
    here, there = small.left(undisturbed), small.left(workdir)
    assert here.step == there.step == STEPS
    small.assert_equal(here.state, there.state)
    assert here.metrics == there.metrics
