"""What a program needs and costs on a machine that nobody has to own: compiled for it, and read.

    with jax.set_mesh(mesh):
        plan = of(program.step, arguments, machine, useful=program_without_remat)
    plan.fits, plan.bytes["temporaries"], plan.seconds, plan.mfu

Bytes are those of the fullest device, as the compiler lays them out; FLOPs are of all devices together. The time is a
roofline: the longest of computing, reading memory and sending, as if each ran at its chip's peak and beside the others.
No machine is faster; one that is well used comes near.
"""

import dataclasses
import math
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr
from jax.interpreters.partial_eval import dce_jaxpr

from gen import flops
from gen import hardware as chips
from gen.plan import hlo, traffic
from gen.plan.topology import Machine
from gen.plan.traffic import Collective


@dataclasses.dataclass(frozen=True)
class Plan:
    """`bytes` a device: each group of arguments by its name, then temporaries and code; `total` is more than can be had
    where `fits` is False, and `fits` is None where the memory is not known, as of CPUs.

    `model_flops` of one run without what remat computes twice, `hardware_flops` with it. `memory_bytes` are moved
    between a device and its memory, collectives between devices. `loops` run an unknown number of times, counted once.
    """

    devices: int
    bytes: Mapping[str, int]
    total: int
    capacity: float | None
    model_flops: int
    hardware_flops: int
    memory_bytes: int
    collectives: Mapping[str, Collective]
    loops: int
    roofs: Mapping[str, float]  # seconds by what bounds them: "compute", "memory", "links"
    peak: float  # FLOP/s of all devices, 0 if not known
    compile_seconds: float

    @property
    def fits(self) -> bool | None:
        return None if self.capacity is None else self.total <= self.capacity

    @property
    def seconds(self) -> float | None:
        """Of one run, at best; None where the chip is not known."""
        return max(self.roofs.values()) if self.roofs else None

    @property
    def mfu(self) -> float | None:
        """The model FLOPs utilisation of a run that takes no longer."""
        return self.model_flops / (self.seconds * self.peak) if self.seconds else None

    def as_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "fits": self.fits, "seconds": self.seconds, "mfu": self.mfu}


_SIZE = r"([\d.]+)([KMG])"


class OutOfMemory(NamedTuple):
    """In place of a plan where the compiler itself ran out of memory for the program: why, and how many bytes it would
    have needed, if it said so."""

    reason: str
    needs: int | None
    fits: bool = False


def of(
    program: Any, arguments: Sequence[Any], groups: Mapping[str, Any], machine: Machine, useful: Any = None
) -> Plan | OutOfMemory:
    """The plan of a jitted program for abstract arguments with shardings, under the mesh that they are of.

    groups: the arguments, or parts of them, by what they are called in the plan; what is in none is "other".
    useful: the program that computes the same with every product once, if this one repeats some.
    """
    traced = program.trace(*arguments)
    hardware = flops.of_program(traced.jaxpr)
    model = hardware if useful is None else flops.of_program(useful.trace(*arguments).jaxpr)
    start = time.perf_counter()
    try:
        compiled = traced.lower().compile()
    except jax.errors.JaxRuntimeError as error:
        refused = _too_large(str(error), machine)
        if refused is None:
            raise
        return refused
    seconds = time.perf_counter() - start
    moved = traffic.of_module(hlo.parse(compiled.as_text()), machine.count)
    held = _held(compiled.memory_analysis(), _only(groups, _read(traced.jaxpr, arguments)))
    chip = machine.chip
    return Plan(
        devices=machine.count,
        bytes=held,
        total=sum(held.values()),
        capacity=machine.capacity,
        model_flops=model.flops,
        hardware_flops=hardware.flops,
        memory_bytes=moved.memory,
        collectives=moved.collectives,
        loops=max(hardware.loops, moved.loops),
        roofs=roofline(chip, hardware.flops / machine.count, moved.memory, moved.sent) if chip else {},
        peak=chip.flops * machine.count if chip else 0.0,
        compile_seconds=seconds,
    )


def roofline(chip: chips.Chip, computed: float, moved: int, sent: int) -> dict[str, float]:
    """Seconds that one device takes at least for so many FLOPs, bytes from and to memory, and bytes to others."""
    return {"compute": computed / chip.flops, "memory": moved / chip.bandwidth, "links": sent / chip.link}


def local_bytes(x: jax.ShapeDtypeStruct) -> int:
    """Bytes of an abstract array on one device."""
    shape = x.sharding.shard_shape(x.shape) if x.sharding else x.shape
    itemsize = 8 if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x.dtype.itemsize
    return math.prod(shape) * itemsize


def _read(program: ClosedJaxpr, arguments: Sequence[Any]) -> set[int]:
    """The ids of the arguments' arrays that a program reads: the others are dropped where it is compiled."""
    _, read = dce_jaxpr(program.jaxpr, [True] * len(program.jaxpr.outvars))
    return {id(x) for x, needed in zip(jax.tree.leaves(arguments), read, strict=True) if needed}


def _only(groups: Mapping[str, Any], read: set[int]) -> dict[str, list[Any]]:
    return {name: [x for x in jax.tree.leaves(part) if id(x) in read] for name, part in groups.items()}


def _held(memory: Any, groups: Mapping[str, Any]) -> dict[str, int]:
    """Bytes by group; what an output takes beyond the arguments that it replaces is a temporary."""
    held = {name: sum(map(local_bytes, jax.tree.leaves(part))) for name, part in groups.items()}
    other = memory.argument_size_in_bytes - sum(held.values())  # small arguments, and what layouts pad
    return {
        **held,
        "other": max(other, 0),
        "temporaries": memory.temp_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes,
        "code": memory.generated_code_size_in_bytes,
    }


def _too_large(message: str, machine: Machine) -> OutOfMemory | None:
    """What a compiler's error says of memory; None for one that is of something else."""
    if "RESOURCE_EXHAUSTED" not in message and "Ran out of memory" not in message:
        return None
    used = re.search(f"Used {_SIZE} of {_SIZE}", message) or re.search(
        rf"\({_SIZE}\) exceeds available \w+ \({_SIZE}\)", message
    )
    if used is None:
        return OutOfMemory(f"it does not fit into the memory of {machine.kind}", None)
    needs = float(used[1]) * {"K": 2**10, "M": 2**20, "G": 2**30}[used[2]]
    return OutOfMemory(
        f"it needs {used[1]} {used[2]}iB of the {used[3]} {used[4]}iB that {machine.kind} has", int(needs)
    )
