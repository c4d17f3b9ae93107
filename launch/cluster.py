"""Several processes as one run: which of them this is, from flags or from the cluster that started it.

python -m launch.train ...                                          # Slurm, Open MPI, Kubernetes, Cloud TPU: by itself
python -m launch.train ... --coordinator=node0:1234 --processes=4 --process=1          # anywhere else

One process to a host, or to a GPU; each with the same command, but for --process. They know each other by a secret,
which process 0 leaves in the working directory while they meet, or which the environment's GEN_SECRET gives to all.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import flags

from gen import hosts
from gen.hosts import secret
from gen.messages import bare, note, short
from launch import seconds

ALONE = (0, 1)  # process and processes
MOST = 1 << 20  # processes of a run
PORTS = range(1, 1 << 16)
HIDDEN = 60.0  # seconds for which a network's file system may hide a new file from another host


def define() -> None:
    """The flags of a program that several processes run together."""
    flags.DEFINE_enum("cluster", "auto", ["auto", "none"], "ask the cluster for other processes, or be one alone")
    flags.DEFINE_string("coordinator", None, "HOST:PORT, or [IPV6]:PORT, at which process 0 listens for the others")
    flags.DEFINE_integer("processes", None, "how many processes there are", lower_bound=1, upper_bound=MOST)
    flags.DEFINE_integer("process", None, "which of them this is, from 0 on", lower_bound=0)
    flags.DEFINE_string("bind", None, "the address that process 0 listens at; all of its host's if not said")
    seconds.define("join_timeout", 300.0, "seconds to wait for all processes", least=1.0)
    seconds.define("heartbeat", 60.0, "seconds without a sign of life after which a process is lost", least=1.0)


def join(args: Any, data: Mapping[str, Any]) -> None:
    """Meets the other processes, if there are any; all must have the same code, config, platform and directory.

    Raises ValueError for flags that do not fit each other.
    """
    place, local_devices = find(args)
    if place is None:
        return
    known = secret.find(Path(args.workdir) if args.workdir else None, place.port, os.environ.pop(secret.VARIABLE, None))
    from gen.runs import preflight

    how = {"limit": args.join_timeout, "heartbeat": args.heartbeat, "local_devices": local_devices}
    for sentence in hosts.join(place, preflight.record(args.workdir, args.heartbeat, data), known, **how):
        note(sentence)
    preflight.check_shared(Path(args.workdir), min(args.join_timeout, HIDDEN))


def share(args: Any) -> tuple[int, int]:
    """Which of how many processes this is, for work that they do side by side without ever meeting; each then has its
    own host's devices, or those that a cluster gives it. Before jax is used."""
    if (args.processes is None) != (args.process is None):
        raise ValueError("--process and --processes go together: which of how many this is")
    if args.processes is not None:
        check_index(args.process, args.processes)
        return args.process, args.processes
    place, local_devices = find(args)
    if local_devices is not None:
        import jax

        for kind in ("cuda", "rocm"):
            jax.config.update(f"jax_{kind}_visible_devices", ",".join(map(str, local_devices)))
    return ALONE if place is None else (place.index, place.count)


def find(args: Any) -> tuple[hosts.ProcessSpec | None, list[int] | None]:
    """The hosts.Place of this process, None where it is alone, and which of its host's devices it has, None for all."""
    coordinator, count, index, local_devices = args.coordinator, args.processes, args.process, None
    if args.cluster == "auto" and None in (coordinator, count, index):
        coordinator, count, index, local_devices = detect(coordinator, count, index, args.join_timeout)
    if count in (None, 1) and coordinator is None:
        return None, None
    if coordinator is None or count is None or index is None:
        raise ValueError("several processes need all of --coordinator=HOST:PORT, --processes and --process")
    check_coordinator(coordinator)
    check_index(index, count)
    return (None, None) if count == 1 else (hosts.ProcessSpec(index, count, coordinator, args.bind), local_devices)


def check_coordinator(coordinator: str) -> None:
    if not coordinator.isprintable() or not re.fullmatch(r"([^:\[\]]+|\[[^\[\]]+\]):[0-9]{1,5}", coordinator):
        raise ValueError(f"--coordinator={short(coordinator)} is not HOST:PORT, nor [IPV6]:PORT")
    host, _, port = coordinator.rpartition(":")
    try:
        host.encode("idna")  # as a look-up of the name does
    except UnicodeError as error:
        raise ValueError(f"--coordinator={short(coordinator)}: {short(host)} is not the name of a host") from error
    if int(port) not in PORTS:
        raise ValueError(f"--coordinator={short(coordinator)}: ports are 1 to {PORTS[-1]}")


def check_index(index: int, count: int) -> None:
    """Checks numbers from a cluster, which have not gone through the bounds of the flags."""
    if count not in range(1, MOST + 1):
        raise ValueError(f"--processes={short(count)}: a run has 1 to {MOST:,}")
    if index not in range(count):
        raise ValueError(f"--process={index}: of --processes={count} the last is {count - 1}")


def detect(coordinator: str | None, count: int | None, index: int | None, limit: float) -> tuple[Any, ...]:
    """What jax finds out of the cluster, in place of what is None. jax has no public name for this: its own
    jax.distributed.initialize does the rest at once, and ends the process where another does not come.

    Raises ValueError where it makes no sense of the environment, or the cluster does not answer.
    """
    from jax._src.clusters import ClusterEnv

    try:
        found = ClusterEnv.auto_detect_unset_distributed_params(coordinator, count, index, None, None, int(limit))
    except Exception as error:  # of any library that speaks with a cluster
        raise ValueError(
            f"the cluster does not say which process this is ({type(error).__name__}: {bare(str(error))});"
            " give --coordinator, --processes and --process, or --cluster=none"
        ) from error
    return found[0], found[1], found[2], None if found[3] is None or alone_on_host() else list(found[3])


def alone_on_host() -> bool:
    """Whether no other process of the run is on this host: then all its devices are this one's. jax gives a process of
    Slurm or Open MPI a single one, also where it is alone."""
    slurm = re.fullmatch(r"1(\(x\d+\))?", os.environ.get("SLURM_STEP_TASKS_PER_NODE", ""))
    return bool(slurm) or os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE") == "1"
