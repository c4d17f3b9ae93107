"""Which of several processes this is: from flags, from a cluster's environment, or none at all; and real programs that
do not belong together."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest
from absl import flags

from gen import exit_codes, hosts
from gen.hosts import ProcessSpec, RendezvousError, free_port
from gen.hosts.channel import JsonSocket
from gen.hosts.handshake import Hello, introduce
from gen.hosts.secret import Given, Shared
from gen.runs import preflight
from launch import cluster

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
    more = ("SLURM_STEP_TASKS_PER_NODE", "OMPI_COMM_WORLD_LOCAL_SIZE", "KUBERNETES_SERVICE_HOST")
    for name in (*SLURM, *MPI, *more, "JAX_COORDINATOR_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


def find(**given):
    return cluster.find(SimpleNamespace(**NONE | given))


def test_alone_where_nothing_says_otherwise():
    assert find() == find(cluster="none") == find(processes=1) == (None, None)
    assert find(coordinator="a:1", processes=1, process=0) == (None, None)


def test_explicit_flags(monkeypatch):
    given = {"coordinator": "node0:1234", "processes": 4, "process": 2, "bind": "10.0.0.1"}
    assert find(**given) == (ProcessSpec(2, 4, "node0:1234", "10.0.0.1"), None)
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    assert find(**given)[0].count == 4  # flags before the cluster
    ipv6 = find(**given | {"coordinator": "[fe80::1]:1234"})[0]
    assert (ipv6.host, ipv6.port) == ("fe80::1", 1234)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"processes": 2}, "several processes need all of --coordinator=HOST:PORT, --processes and --process"),
        ({"coordinator": "a:1"}, "need all of"),
        ({"coordinator": "a", "processes": 2, "process": 0}, "--coordinator='a' is not HOST:PORT"),
        ({"coordinator": ":1", "processes": 2, "process": 0}, "--coordinator=':1' is not HOST:PORT"),
        ({"coordinator": "::1", "processes": 2, "process": 0}, r"is not HOST:PORT, nor \[IPV6\]:PORT"),
        ({"coordinator": "a:1", "processes": 2, "process": 2}, "--process=2: of --processes=2 the last is 1"),
        ({"coordinator": "a:0", "processes": 2, "process": 0}, "--coordinator='a:0': ports are 1 to 65535"),
        ({"coordinator": "a:65536", "processes": 2, "process": 0}, "ports are 1 to 65535"),
        ({"coordinator": "a:\u0661", "processes": 2, "process": 0}, "is not HOST:PORT"),
        ({"coordinator": "a..b:1", "processes": 2, "process": 0}, "'a..b' is not the name of a host"),
        ({"coordinator": "\x1b[2J:1", "processes": 2, "process": 0}, r"--coordinator='\\x1b\[2J:1' is not HOST:PORT"),
        ({"coordinator": "x" * 99 + ":1", "processes": 2, "process": 0}, "x' is not the name of a host"),
    ],
)
def test_flags_that_do_not_fit(given, message):
    with pytest.raises(ValueError, match=message):
        find(**given)


@pytest.mark.parametrize(
    ("environment", "coordinator", "index", "count", "devices"),
    [
        (SLURM, "node007:61441", 3, 5, [0]),
        (SLURM | {"SLURM_STEP_TASKS_PER_NODE": "8(x2),4"}, "node007:61441", 3, 5, [0]),
        (SLURM | {"SLURM_STEP_TASKS_PER_NODE": "1(x5)"}, "node007:61441", 3, 5, None),
        (MPI, "10.96.0.1", 2, 4, [1]),
        (MPI | {"OMPI_COMM_WORLD_LOCAL_SIZE": "1"}, "10.96.0.1", 2, 4, None),
    ],
)
def test_clusters_are_found(monkeypatch, environment, coordinator, index, count, devices):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    place, local = find()
    assert place.coordinator.startswith(coordinator) and (place.index, place.count) == (index, count)
    assert local == devices
    assert find(cluster="none") == (None, None)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (SLURM | {"SLURM_JOB_ID": "abc"}, r"does not say which process this is \(ValueError: invalid .*; give --coord"),
        (SLURM | {"SLURM_LOCALID": "q" * 5000}, "does not say which process this is"),
        (SLURM | {"SLURM_PROCID": "-1"}, "--process=-1: of --processes=5 the last is 4"),
        (
            SLURM | {"SLURM_NTASKS": "1" + "0" * 30},
            "--processes=1000.*0: a run has 1 to 1,048,576",
        ),
        (SLURM | {"SLURM_STEP_NODELIST": "\x1b]0;x\x07"}, "is not HOST:PORT"),
        (MPI | {"OMPI_MCA_orte_hnp_uri": "zz"}, "does not say which process this is"),
        (MPI | {"OMPI_COMM_WORLD_SIZE": "0"}, "--processes=0: a run has"),
    ],
)
def test_an_environment_that_makes_no_sense_is_said_in_a_sentence(monkeypatch, environment, message):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message) as error:
        find()
    assert str(error.value).isprintable() and len(str(error.value)) < 400


def test_one_task_of_a_cluster_is_alone(monkeypatch):
    for name, value in (SLURM | {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}).items():
        monkeypatch.setenv(name, value)
    assert find() == (None, None)


@pytest.mark.parametrize("flag", ["join_timeout", "heartbeat"])
@pytest.mark.parametrize("value", ["nan", "inf", "0.5", "1e300"])
def test_times_are_finite_and_bounded(flag, value):
    defined = flags.FlagValues()
    cluster.define()
    for own in flags.FLAGS.get_flags_for_module("launch.cluster"):
        defined[own.name] = own
    flags.FLAGS.remove_flag_values(defined)
    assert flag in defined
    with pytest.raises(flags.IllegalFlagValueError, match=f"flag --{flag}={value}: "):
        defined(["program", f"--{flag}={value}"])


def test_a_secret_that_is_given_leaves_the_environment(monkeypatch, tmp_path):
    """What the process starts does not inherit it."""
    joined = []
    monkeypatch.setattr(hosts, "join", lambda place, record, secret, **how: joined.append(secret) or [])
    monkeypatch.setattr(preflight, "check_shared", lambda workdir, limit: None)
    monkeypatch.setenv("GEN_SECRET", 40 * "x")
    given = {"coordinator": "a:1", "processes": 2, "process": 1, "heartbeat": 60.0, "workdir": str(tmp_path)}
    for _ in range(2):
        cluster.join(SimpleNamespace(**NONE | given), {})
    assert isinstance(joined[0], Given) and "GEN_SECRET" not in os.environ
    assert isinstance(joined[1], Shared) and joined[1].where == f"{tmp_path}/.rendezvous-1"
    monkeypatch.setenv("GEN_SECRET", "too short")
    with pytest.raises(ValueError, match="GEN_SECRET has 9 characters"):
        cluster.join(SimpleNamespace(**NONE | given), {})


ARGS = SimpleNamespace(workdir="runs/lm", heartbeat=60.0)


def test_what_all_processes_must_have_in_common(tmp_path, monkeypatch):
    here = preflight.record(ARGS.workdir, ARGS.heartbeat, {"seed": 0})
    assert here["workdir"] == os.path.join(os.getcwd(), "runs", "lm") and here["heartbeat"] == 60.0
    assert "code/source_sha256" in here and "versions/jax" in here
    assert not {"code/commit", "code/dirty_sha256"} & here.keys()  # what is executed is compared
    assert here != preflight.record("runs/lm", 30.0, {"seed": 0})
    monkeypatch.chdir(tmp_path)
    elsewhere = preflight.record(ARGS.workdir, ARGS.heartbeat, {"seed": 0})
    assert {key for key in here if here[key] != elsewhere[key]} == {"workdir"}


def test_a_host_that_has_nothing_but_its_cpu_differs(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(preflight.malloc, "tpus", lambda: False)
    assert preflight.accelerators(tmp_path) == "none"
    for name in ("nvidia0", "nvidia1", "nvidiactl", "kfd"):
        (tmp_path / name).touch()
    assert preflight.accelerators(tmp_path) == "NVIDIA, AMD"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")  # as where each process has one of its host's
    assert preflight.accelerators(tmp_path) == "NVIDIA, AMD"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert preflight.accelerators(tmp_path) == "AMD"
    monkeypatch.setenv("JAX_PLATFORMS", "")
    assert preflight.platform().keys() == {"JAX_PLATFORMS", "jax_plugins", "accelerators"}
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")  # whoever is told to compute on it may have what he likes
    assert preflight.platform() == {"JAX_PLATFORMS": "cpu"}


class Others:
    """Stands for process 1, on another host: what it says of the token, and whether it was there when it was asked."""

    def __init__(self, workdir, sees):
        self.workdir, self.sees, self.found = workdir, sees, []

    def gather(self, what, value):
        if what != "read token":
            return [value, value]
        self.found = [(path.name, path.read_text()) for path in self.workdir.iterdir()]
        return [value, ["node7", self.sees]]


@pytest.mark.parametrize("sees", [True, False])
def test_a_directory_that_is_not_shared(tmp_path, monkeypatch, sees):
    workdir = tmp_path / "runs" / "lm"
    others = Others(workdir, sees)
    monkeypatch.setattr(hosts, "_tether", others)
    if sees:
        preflight.check_shared(workdir, 1.0)
    else:
        with pytest.raises(
            RendezvousError, match=rf"process 1 \(node7\) does not see what process 0 .* into {workdir};"
        ) as e:
            preflight.check_shared(workdir, 1.0)
        assert e.value.status == exit_codes.USAGE
    ((name, content),) = others.found
    assert name == content and not list(workdir.iterdir())


def test_a_directory_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot write to .*/file/run: Not a directory"):
        preflight.check_shared(tmp_path / "file" / "run", 1.0)


def test_what_comes_late_over_a_network_is_waited_for(tmp_path):
    token = tmp_path / "token"
    timer = threading.Timer(0.5, lambda: token.write_text("token"))
    timer.start()
    assert preflight.appears(token, 10.0)
    timer.join()
    token.write_text("another")
    assert not preflight.appears(token, 0.0)
    assert not preflight.appears(tmp_path / "nowhere", 0.0)


def launch(tmp_path, *changes, processes=2, timeout="--join_timeout=20", port=None, output=subprocess.DEVNULL):
    """Exit statuses and error output of real training programs, or all output where `output` is PIPE; `changes` are the
    further flags of each."""
    port = port or free_port()
    common = ["--config=configs/lm/gpt2.py:tiny", f"--workdir={tmp_path / 'run'}", timeout, "--bind=127.0.0.1"]
    common += [f"--coordinator=127.0.0.1:{port}", f"--processes={processes}"]
    env = os.environ | {"XLA_FLAGS": "--xla_backend_optimization_level=0", "JAX_NUM_CPU_DEVICES": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "launch.train", *common, f"--process={i}", *own],
            env=env,
            text=True,
            stdout=output,
            stderr=subprocess.PIPE,
        )
        for i, own in enumerate(changes)
    ]
    said = ["".join(filter(None, process.communicate(timeout=120))) for process in started]
    return [process.returncode for process in started], said


@contextlib.contextmanager
def strangers(workdir, port):
    """All the while somebody comes as process 1 without the secret. Yields the secrets that the file has held, as its
    owner sees them, and why the stranger was turned away."""
    over, seen, turned_away = threading.Event(), set(), []

    def watch():
        while not over.wait(0.002):
            with contextlib.suppress(OSError):
                seen.add((workdir / f".rendezvous-{port}").read_text())

    def come():
        while not over.wait(0.01):
            with contextlib.suppress(OSError):
                line = JsonSocket(socket.create_connection(("127.0.0.1", port)), patience=5.0)
                try:
                    introduce(line, b"x" * 32, Hello(1, 2, "stranger", {}))
                except OSError as error:
                    turned_away.append(str(error))
                line.close()

    threads = [threading.Thread(target=work) for work in (watch, come)]
    for thread in threads:
        thread.start()
    try:
        yield seen, turned_away
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_another_config_on_one_host_is_named(tmp_path):
    """While a stranger disturbs; the secret by which the two meet is in no message, and gone in the end."""
    port = free_port()
    with strangers(tmp_path / "run", port) as (seen, turned_away):
        codes, said = launch(tmp_path, [], ["--config.optim.lr=0.5"], port=port, output=subprocess.PIPE)
    assert codes == [2, 2]
    for text in said:
        (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
        assert "process 1 (" in line and "has config_sha256=" in line and "Traceback" not in text
    assert not (tmp_path / "run").exists()
    (secret,) = seen
    assert turned_away and "stranger" not in "".join(said) and secret not in "".join(said)


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


TINY = (
    *("--config.train.steps=1", "--config.train.batch_size=4", "--config.evals.batches=1", "--config.evals.samples=0"),
    *("--config.checkpoint.every=1", "--config.log.every=1"),
)


@pytest.mark.prove
def test_strangers_harm_no_run_and_its_secret_is_in_none_of_its_files(tmp_path):
    workdir, port = tmp_path / "run", free_port()
    with strangers(workdir, port) as (seen, turned_away):
        codes, said = launch(tmp_path, TINY, TINY, port=port, output=subprocess.PIPE)
    assert codes == [0, 0] and turned_away, said
    (secret,) = seen
    files = [path for path in workdir.rglob("*") if path.is_file()]
    assert {"manifest.json", "metrics.jsonl"} <= {path.name for path in files}
    assert not [path for path in files if path.name.startswith(".rendezvous")]
    assert not [path for path in files if secret.encode() in path.read_bytes()] and secret not in "".join(said)
