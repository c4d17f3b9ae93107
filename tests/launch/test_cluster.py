"""Which of several processes this is: from flags, from a cluster's environment, or none at all; and real programs that
do not belong together."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from gen.hosts import Place
from launch import cluster
from launch.local.supervise import free_port

NONE = {"cluster": "auto", "coordinator": None, "processes": None, "process": None, "bind": None, "join_timeout": 5.0}
SLURM = {
    "SLURM_JOB_ID": "4097",
    "SLURM_STEP_NODELIST": "node[007,009-012]",
    "SLURM_NTASKS": "5",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "0",
}
MPI = {
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_RANK": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
}


@pytest.fixture(autouse=True)
def nowhere(monkeypatch):
    for name in (*SLURM, *MPI, "KUBERNETES_SERVICE_HOST", "JAX_COORDINATOR_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


def find(**given):
    return cluster.find(SimpleNamespace(**NONE | given))


def test_alone_where_nothing_says_otherwise():
    assert find() == find(cluster="none") == find(processes=1) == (None, None)
    assert find(coordinator="a:1", processes=1, process=0) == (None, None)


def test_explicit_flags(monkeypatch):
    given = {"coordinator": "node0:1234", "processes": 4, "process": 2, "bind": "10.0.0.1"}
    assert find(**given) == (Place(2, 4, "node0:1234", "10.0.0.1"), None)
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    assert find(**given)[0].count == 4  # flags before the cluster


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"processes": 2}, "several processes need all of --coordinator=HOST:PORT, --processes and --process"),
        ({"coordinator": "a:1"}, "need all of"),
        ({"coordinator": "a", "processes": 2, "process": 0}, "--coordinator=a is not HOST:PORT"),
        ({"coordinator": "a:1", "processes": 2, "process": 2}, "--process=2: of --processes=2 the last is 1"),
    ],
)
def test_flags_that_do_not_fit(given, message):
    with pytest.raises(ValueError, match=message):
        find(**given)


@pytest.mark.parametrize(
    ("environment", "coordinator", "index", "count", "devices"),
    [(SLURM, "node007:61441", 3, 5, [0]), (MPI, "10.96.0.1", 2, 4, [1])],
)
def test_clusters_are_found(monkeypatch, environment, coordinator, index, count, devices):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    place, local = find()
    assert place.coordinator.startswith(coordinator) and (place.index, place.count) == (index, count)
    assert local == devices
    assert find(cluster="none") == (None, None)


def test_one_task_of_a_cluster_is_alone(monkeypatch):
    for name, value in (SLURM | {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}).items():
        monkeypatch.setenv(name, value)
    assert find() == (None, None)


def launch(tmp_path, *changes, processes=2, timeout="--join_timeout=20"):
    """Exit statuses and error output of real training programs; `changes` are the further flags of each."""
    port = free_port()
    common = ["--config=configs/lm/gpt2.py:tiny", f"--workdir={tmp_path / 'run'}", timeout, "--bind=127.0.0.1"]
    common += [f"--coordinator=127.0.0.1:{port}", f"--processes={processes}"]
    env = os.environ | {"XLA_FLAGS": "--xla_backend_optimization_level=0", "JAX_NUM_CPU_DEVICES": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "launch.train", *common, f"--process={i}", *own],
            env=env,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for i, own in enumerate(changes)
    ]
    said = [process.communicate(timeout=120)[1] for process in started]
    return [process.returncode for process in started], said


def test_another_config_on_one_host_is_named(tmp_path):
    codes, said = launch(tmp_path, [], ["--config.optim.lr=0.5"])
    assert codes == [2, 2]
    for text in said:
        (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
        assert "process 1 (" in line and "has config_sha256=" in line and "Traceback" not in text
    assert not (tmp_path / "run").exists()


def test_a_host_that_never_comes_is_named(tmp_path):
    codes, said = launch(tmp_path, [], timeout="--join_timeout=3")
    assert codes == [69]
    assert "error: of 2 processes these did not come within 3 s: 1; there are process 0 (" in said[0]


def test_an_error_on_one_host_ends_all_with_its_sentence(tmp_path):
    """The data of process 1 lie elsewhere: the config is the same, what it names is not there."""
    repository, port = os.getcwd(), free_port()
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
    (tmp_path / "a" / "text.txt").write_text("some text of which a model may learn\n" * 200)
    command = [sys.executable, "-m", "launch.train", f"--config={repository}/configs/lm/gpt2.py:tiny"]
    command += ["--config.data.source=text:text.txt", f"--workdir={tmp_path / 'run'}", "--join_timeout=30"]
    command += ["--bind=127.0.0.1", f"--coordinator=127.0.0.1:{port}", "--processes=2"]
    env = os.environ | {"JAX_NUM_CPU_DEVICES": "1", "PYTHONPATH": repository, "XLA_FLAGS": ""}
    pipes = {"text": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    started = [
        subprocess.Popen([*command, f"--process={i}"], env=env, cwd=tmp_path / place, **pipes)
        for i, place in enumerate(("a", "b"))
    ]
    said = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [2, 2], said
    (reason,) = [line.removeprefix("error: ") for line in said[1].splitlines() if line.startswith("error: ")]
    assert "text.txt" in reason and f"stopped: {reason}" in said[0] and "error: process 1 (" in said[0]
