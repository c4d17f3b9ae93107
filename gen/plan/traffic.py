"""What a compiled program moves on each device: bytes between a chip and its memory, and bytes between chips.

    moved = of_module(hlo.parse(compiled.as_text()), devices=512)
    moved.memory                      # bytes read and written, each instruction once from and to memory
    moved.collectives["all-gather"]   # Collective(count, bytes, sent)

A fusion reads its operands and writes its result once; of an array that it only slices it reads the slice. What XLA
keeps in a chip's own fast memory costs nothing. Bytes sent are those of a ring: each of n members passes on n - 1
parts.
"""

import dataclasses
import re
from collections.abc import Mapping

from gen.plan.hlo import Computation, Instruction, Module

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "ragged-all-to-all", "collective-permute")
# what moves nothing by itself: names for what is there, and calls, whose bodies are visited
FREE = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call", "call-start"),
    *("after-all", "partition-id", "replica-id", "opt-barrier", "async-start", "async-update", "call-update"),
}
SLICES = ("dynamic-slice", "slice", "gather")


@dataclasses.dataclass(frozen=True)
class Collective:
    """How many run in one run of the program, the bytes of their results, and the bytes that a device sends."""

    count: int = 0
    bytes: int = 0
    sent: int = 0

    def plus(self, count: int, bytes: int, sent: int) -> "Collective":
        return Collective(self.count + count, self.bytes + bytes, self.sent + sent)


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Of one run of a program on one device. `loops` is how many loops run an unknown number of times, counted once."""

    memory: int
    collectives: Mapping[str, Collective]
    loops: int

    @property
    def sent(self) -> int:
        return sum(c.sent for c in self.collectives.values())


def of_module(module: Module, devices: int) -> Traffic:
    """The traffic of one run."""
    memory = loops = 0
    collectives: dict[str, Collective] = {}
    for computation, instruction, times in module.visits():
        memory += times * touched(module, computation, instruction)
        loops += instruction.opcode == "while" and module.trips(instruction) is None
        for kind, result, members in communicated(module, instruction, devices):
            sent = int(result * share(kind, members))
            collectives[kind] = collectives.get(kind, Collective()).plus(times, times * result, times * sent)
    return Traffic(memory, dict(sorted(collectives.items())), loops)


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


def communicated(module: Module, instruction: Instruction, devices: int) -> list[tuple[str, int, int]]:
    """(kind, bytes of the result, members of a group) of the collectives that an instruction runs: itself, or those
    inside of a fusion."""
    if instruction.opcode == "fusion":
        inner = module.called(instruction)
        found = [i for i in inner.instructions.values() if kind_of(i)] if inner else []
        if len(found) == 1 and "all-reduce-scatter" in instruction.rest:  # a TPU's fusion of all-reduce and slice
            return [("reduce-scatter", instruction.bytes, group_size(found[0], devices))]
        return [(str(kind_of(i)), result_bytes(i), group_size(i, devices)) for i in found]
    kind = kind_of(instruction)
    return [(kind, result_bytes(instruction), group_size(instruction, devices))] if kind else []


def kind_of(instruction: Instruction) -> str | None:
    opcode = instruction.opcode.removesuffix("-start")
    return opcode if opcode in KINDS else None


def result_bytes(instruction: Instruction) -> int:
    """A start gives its operands beside its result."""
    if instruction.opcode.endswith("-start") and len(instruction.result) > 1:
        return instruction.result[1].bytes
    return instruction.bytes


def group_size(instruction: Instruction, devices: int) -> int:
    """How many devices take part in one collective; all where the program does not say."""
    if listed := instruction.attribute(r"replica_groups=\{\{([\d,]+)\}"):
        return listed.count(",") + 1
    if counted := instruction.attribute(r"replica_groups=\[\d+,(\d+)\]"):
        return int(counted)
    if named := re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", instruction.rest):
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", named[1]))
        size = 1
        for axis in re.findall(r"'(\w+)'", named[2]):
            size *= int(sizes[axis])
        return size
    return devices


def touched(module: Module, computation: Computation, instruction: Instruction) -> int:
    """Bytes that one visit reads from memory and writes to it."""
    if instruction.opcode in FREE or instruction.opcode.endswith("-done"):
        return 0
    sources = [computation.instructions[name] for name in instruction.operands if name in computation.instructions]
    if instruction.opcode == "fusion" and (inner := module.called(instruction)):
        return sum(read(inner, number, source) for number, source in enumerate(sources)) + written(inner, instruction)
    if instruction.opcode in SLICES:
        return 2 * slow(instruction)
    if instruction.opcode == "dynamic-update-slice":
        return 2 * slow(sources[1])
    if instruction.opcode.endswith("-start"):
        return sum(map(slow, sources)) + sum(a.bytes for a in instruction.result[:1] if not a.fast)
    return sum(map(slow, sources)) + slow(instruction)


def slow(instruction: Instruction) -> int:
    """Bytes of a result that lie in memory."""
    return sum(array.bytes for array in instruction.result if not array.fast)


def read(inner: Computation, number: int, source: Instruction) -> int:
    """Bytes that a fusion reads of its operand of this number."""
    parameter = next(i for i in inner.instructions.values() if i.opcode == "parameter" and i.rest == str(number))
    users = through_bitcasts(inner, parameter.name)
    whole = slow(source)
    if whole and users and all(user.opcode in (*SLICES, "dynamic-update-slice") for user, _ in users):
        # what is updated in place is not read
        return min(whole, sum(user.bytes for user, _ in users if user.opcode in SLICES))
    return whole


def through_bitcasts(inner: Computation, name: str) -> list[tuple[Instruction, str]]:
    """What reads a value inside of a fusion, and under which name, as itself or in another shape."""
    found = []
    for user in inner.users(name):
        found += through_bitcasts(inner, user.name) if user.opcode == "bitcast" else [(user, name)]
    return found


def written(inner: Computation, fusion: Instruction) -> int:
    """Bytes that a fusion writes: of arrays that it updates in place only the part."""
    root = inner.root
    roots = [inner.instructions[name] for name in root.operands] if root.opcode == "tuple" else [root]
    if len(roots) != len(fusion.result):
        return slow(fusion)
    total = 0
    for result, made in zip(fusion.result, roots, strict=True):
        while made.opcode == "bitcast":
            made = inner.instructions[made.operands[0]]
        update = made.opcode == "dynamic-update-slice"
        total += 0 if result.fast else inner.instructions[made.operands[1]].bytes if update else result.bytes
    return total
