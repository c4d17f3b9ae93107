"""The collectives of a compiled program: what each device sends to others.

    found = of_computation(module, computation, devices=512)
    found["all-gather.3"]                # [Sent("all-gather", bytes of the result, bytes that a device sends)]

Bytes sent are those of a ring: each of n members passes on n - 1 parts. A collective that runs beside other work is
written down several times, in the fusions that begin, carry and end it, under one channel; it is the first of them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gen.plan.hlo import Computation, HloInstruction, HloModule

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "ragged-all-to-all", "collective-permute")


class CollectiveCost(NamedTuple):
    kind: str
    bytes: int
    sent: int


def of_computation(module: HloModule, computation: Computation, devices: int) -> dict[str, list[CollectiveCost]]:
    """What each instruction of a computation sends, by its name; instructions that send nothing are left out."""
    found: dict[str, list[CollectiveCost]] = {}
    channels: set[str] = set()
    for instruction in computation.instructions.values():
        for one in inside(module, instruction):
            channel = one.attribute(r"channel_id=(\d+)")
            if channel is not None and channel in channels:
                continue
            channels.add(channel or "")
            found.setdefault(instruction.name, []).append(_sent(instruction, one, devices))
    return found


def inside(module: HloModule, instruction: HloInstruction) -> Sequence[HloInstruction]:
    """The collectives that an instruction is, or that are in the fusion that it is."""
    if instruction.opcode == "fusion":
        inner = module.called(instruction)
        return [one for one in inner.instructions.values() if kind_of(one)] if inner else []
    return [instruction] if kind_of(instruction) else []


def kind_of(instruction: HloInstruction) -> str | None:
    opcode = instruction.opcode.removesuffix("-start")
    return opcode if opcode in KINDS else None


def result_bytes(instruction: HloInstruction) -> int:
    """A start has its operands before its results, but for an all-reduce's, which has its results alone."""
    if instruction.opcode.endswith("-start") and instruction.opcode != "all-reduce-start":
        count = len(instruction.operands)
        return sum(array.bytes for array in instruction.result[count : 2 * count])
    return instruction.bytes


def share(kind: str, members: int) -> float:
    """Bytes that each of `members` sends for each byte of its result, on a ring."""
    match kind:
        case "all-reduce":
            return 2 * (members - 1) / members
        case "reduce-scatter":
            return members - 1.0
        case "collective-permute":
            return 1.0
    return (members - 1) / members


def group_size(instruction: HloInstruction, devices: int) -> int:
    """How many devices take part in one collective; all where the program does not say."""
    if listed := instruction.attribute(r"replica_groups=\{\{([\d,]+)\}"):
        return listed.count(",") + 1
    if counted := instruction.attribute(r"replica_groups=\[\d+,(\d+)\]"):
        return int(counted)
    if named := re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", instruction.rest):
        sizes: Mapping[str, str] = dict(re.findall(r"'(\w+)'=(\d+)", named[1]))
        size = 1
        for axis in re.findall(r"'(\w+)'", named[2]):
            size *= int(sizes[axis])
        return size
    return devices


def _sent(instruction: HloInstruction, collective: HloInstruction, devices: int) -> CollectiveCost:
    kind, result = str(kind_of(collective)), result_bytes(collective)
    if instruction.opcode == "fusion" and "all-reduce-scatter" in instruction.rest:  # a TPU's all-reduce and slice
        kind, result = "reduce-scatter", instruction.bytes
    return CollectiveCost(kind, result, int(result * share(kind, group_size(collective, devices))))
