"""Machines by name, for programs that are compiled for them here: "v5p:8x8x8", "gpu:h100x64", "cpu:8".

    machine = parse("v5p:8x8x8")
    machine.prepare()                   # before anything of jax is used
    devices = machine.devices()         # 512, to be compiled for and never computed on

TPUs are compiled for by libtpu itself. Programs for GPUs are compiled by XLA's CPU back end, for as many fake devices:
it partitions them alike, but fuses and schedules otherwise, so that their temporaries are an estimate.
"""

import dataclasses
import importlib.util
import math
import os
import re
from collections.abc import Mapping, Sequence

import jax
from jax.experimental import topologies

from gen import hardware as chips
from gen.config import nearest


@dataclasses.dataclass(frozen=True)
class Generation:
    """A generation of TPUs: the dimensions of its torus, its most chips in one slice, and slices that there are."""

    dimensions: int
    chips: int
    slices: tuple[str, ...]


_SQUARE = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_CUBE = ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8", "8x8x16", "8x16x16", "16x16x16")
# cloud.google.com/tpu/docs: the largest slices that can be had
TPUS: Mapping[str, Generation] = {
    "v4": Generation(3, 4096, _CUBE),
    "v5e": Generation(2, 256, _SQUARE),
    "v5p": Generation(3, 6144, (*_CUBE, "16x16x24")),
    "v6e": Generation(2, 256, _SQUARE),
    "tpu7x": Generation(3, 9216, (*_CUBE, "16x24x24")),
}
GPUS = {"a100": "NVIDIA A100", "h100": "NVIDIA H100", "h200": "NVIDIA H200", "b200": "NVIDIA B200"}
MOST_FAKE = 4096


@dataclasses.dataclass(frozen=True)
class Machine:
    """`kind` is what jax calls its devices, `count` how many there are. `memory` is that of a device in bytes, where it
    is known better than from the table."""

    name: str
    platform: str
    kind: str
    count: int
    memory: float | None = None

    @property
    def chip(self) -> chips.Chip | None:
        """None for CPUs, and whatever else is not in the table."""
        return chips.chip(self.kind)

    @property
    def capacity(self) -> float | None:
        """Bytes that a device has, if that is known."""
        if self.memory is not None:
            return float(self.memory)
        if self.chip is None:
            return None
        return self.chip.memory * (preallocated() if self.platform == "gpu" else 1.0)

    @property
    def exact(self) -> bool:
        """Whether the compiler is that of the machine."""
        return self.platform != "gpu"

    def prepare(self) -> None:
        """Keeps jax from looking for accelerators and gives it the fake devices. Before jax is used, and once."""
        jax.config.update("jax_platforms", "cpu")
        if self.platform == "tpu":
            # libtpu asks the metadata server of a cloud for these, where they are not set; a topology overrules them
            os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5p-8")
            os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
            os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
            os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # two plans at once share no chip
        else:
            jax.config.update("jax_num_cpu_devices", self.count)

    def devices(self) -> Sequence[jax.Device]:
        """Raises ValueError when libtpu is not installed or knows no such slice."""
        if self.platform != "tpu":
            return jax.devices("cpu")[: self.count]
        if importlib.util.find_spec("libtpu") is None:
            raise ValueError(f"topology {self.name} needs libtpu, which compiles for TPUs: install the extra `plan`")
        more = {"chip_config_name": "megacore"} if self.name.startswith("v4:") else {}
        try:
            return topologies.get_topology_desc(self.name, platform="tpu", **more).devices
        except jax.errors.JaxRuntimeError as error:
            said = str(error).splitlines()[0]
            if "INVALID_ARGUMENT" not in said:
                raise ValueError(f"topology {self.name}: libtpu cannot be used here: {said}") from error
            raise ValueError(f"{_no_slice(self.name, self.name.split(':')[0])} (libtpu: {said})") from error


def preallocated() -> float:
    """The share of a GPU's memory that jax takes for its arrays, as the environment tells it."""
    return float(os.environ.get("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.75"))


def here() -> Machine:
    """The devices that jax has found, of all processes. CPUs share the memory of their host."""
    own, count = jax.local_devices(), jax.device_count()
    memory = (own[0].memory_stats() or {}).get("bytes_limit")
    if memory is None and own[0].platform == "cpu":
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / len(own)
    return Machine("this machine", own[0].platform, own[0].device_kind, count, memory)


def parse(name: str) -> Machine:
    """The machine of a name. Raises ValueError, listing those that there are, when there is none."""
    family, _, shape = name.partition(":")
    if family == "cpu":
        return Machine(name, "cpu", "cpu", _count(name, shape))
    if family == "gpu":
        kind, _, count = shape.rpartition("x")
        if kind not in GPUS:
            raise ValueError(f"topology {name!r}: write gpu:KINDxCOUNT, as gpu:h100x64; {nearest(kind, GPUS)}")
        return Machine(name, "gpu", GPUS[kind], _count(name, count))
    if family not in TPUS:
        known = ", ".join([*TPUS, "gpu", "cpu"])
        raise ValueError(f"topology {name!r} is none: write v5p:4x4x4, gpu:h100x64 or cpu:8; there are {known}")
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", shape):
        raise ValueError(_no_slice(name, family))
    sides = [int(side) for side in shape.split("x")]
    if len(sides) != TPUS[family].dimensions or math.prod(sides) > TPUS[family].chips:
        raise ValueError(_no_slice(name, family))
    return Machine(name, "tpu", _KINDS[family], math.prod(sides) * (2 if family == "tpu7x" else 1))


_KINDS = {"v4": "TPU v4", "v5e": "TPU v5e", "v5p": "TPU v5p", "v6e": "TPU v6e", "tpu7x": "TPU7x"}


def _count(name: str, text: str) -> int:
    if not re.fullmatch(r"[1-9]\d*", text) or int(text) > MOST_FAKE:
        raise ValueError(f"topology {name!r}: {text!r} is no number of devices from 1 to {MOST_FAKE}")
    return int(text)


def _no_slice(name: str, family: str) -> str:
    there = ", ".join(f"{family}:{shape}" for shape in TPUS[family].slices)
    most = TPUS[family].chips
    return f"topology {name!r}: there is no such slice; there are {there}, and others of at most {most} chips"
