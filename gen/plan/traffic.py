"""What a compiled program moves on each device: bytes between a chip and its memory, and bytes between chips.

    moved = of_module(hlo.parse(compiled.as_text()), devices=512)
    moved.memory                      # bytes read and written, each instruction once from and to memory
    moved.collectives["all-gather"]   # Collective(count, bytes, sent)

A fusion reads its operands and writes its result once; of an array that it only slices it reads the slice. What XLA
keeps in a chip's own fast memory costs nothing.
"""

import dataclasses
import re
from collections.abc import Mapping

from gen.plan import collectives
from gen.plan.hlo import Computation, HloInstruction, HloModule

# what moves nothing by itself: names for what is there, and calls, whose bodies are visited
FREE = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call", "call-start"),
    *("after-all", "partition-id", "replica-id", "opt-barrier", "async-start", "async-update", "call-update"),
}
SLICES = ("dynamic-slice", "slice", "gather")
SLICE_STARTS = ("slice-start", "dynamic-slice-start")
_ALIASED = re.compile(r"\{(\d+)\}: \(\d+, \{")  # results that are operands, as {0}: (0, {})


@dataclasses.dataclass(frozen=True)
class Collective:
    """How many run in one run of the program, the bytes of their results, and the bytes that a device sends."""

    count: int = 0
    bytes: int = 0
    sent: int = 0

    def plus(self, times: int, one: collectives.CollectiveCost) -> "Collective":
        return Collective(self.count + times, self.bytes + times * one.bytes, self.sent + times * one.sent)


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Of one run of a program on one device. `loops` is how many loops run an unknown number of times, counted once."""

    memory: int
    collectives: Mapping[str, Collective]
    loops: int

    @property
    def sent(self) -> int:
        return sum(c.sent for c in self.collectives.values())


def of_module(module: HloModule, devices: int) -> Traffic:
    """The traffic of one run."""
    sending = {c.name: collectives.of_computation(module, c, devices) for c in module.computations.values()}
    memory = loops = 0
    found: dict[str, Collective] = {}
    for computation, instruction, times in module.visits():
        loops += instruction.opcode == "while" and module.trips(instruction) is None
        sent = sending[computation.name].get(instruction.name, [])
        memory += times * touched(module, computation, instruction, begins=bool(sent))
        for one in sent:
            found[one.kind] = found.get(one.kind, Collective()).plus(times, one)
    return Traffic(memory, dict(sorted(found.items())), loops)


def touched(module: HloModule, computation: Computation, instruction: HloInstruction, begins: bool) -> int:
    """Bytes that one visit reads from memory and writes to it; of a fusion that has a collective in it, whether that
    begins here, or was counted where it did."""
    if instruction.opcode in FREE or instruction.opcode.endswith("-done"):
        return 0
    sources = [computation.instructions[name] for name in instruction.operands if name in computation.instructions]
    if instruction.opcode == "fusion" and (inner := module.called(instruction)):
        operands = sum(read(inner, number, source, begins) for number, source in enumerate(sources))
        return operands + written(inner, instruction, begins)
    if instruction.opcode in SLICES:
        return 2 * slow(instruction)
    if instruction.opcode in SLICE_STARTS:  # gives its operand beside the slice
        piece = instruction.result[len(sources)]
        return piece.bytes * (sum(bool(slow(source)) for source in sources[:1]) + (not piece.fast))
    if instruction.opcode == "dynamic-update-slice":
        return 2 * slow(sources[1])
    if instruction.opcode == "copy-start":  # gives its copy first
        return sum(map(slow, sources)) + sum(array.bytes for array in instruction.result[:1] if not array.fast)
    if collectives.kind_of(instruction):
        return sum(map(slow, sources)) + (collectives.result_bytes(instruction) if slow(instruction) else 0)
    return sum(map(slow, sources)) + slow(instruction)


def slow(instruction: HloInstruction) -> int:
    """Bytes of a result that lie in memory."""
    return sum(array.bytes for array in instruction.result if not array.fast)


def read(inner: Computation, number: int, source: HloInstruction, begins: bool) -> int:
    """Bytes that a fusion reads of its operand of this number."""
    parameter = next(i for i in inner.instructions.values() if i.opcode == "parameter" and i.rest == str(number))
    users = [user for user in through_bitcasts(inner, parameter.name) if not _passes(inner, user, begins)]
    whole = slow(source)
    if all(user.opcode in (*SLICES, "dynamic-update-slice") for user in users):
        # what is updated in place is not read
        return min(whole, sum(user.bytes for user in users if user.opcode in SLICES))
    return whole


def through_bitcasts(inner: Computation, name: str) -> list[HloInstruction]:
    """What reads a value inside of a fusion, as itself or in another shape."""
    found = []
    for user in inner.users(name):
        found += through_bitcasts(inner, user.name) if user.opcode == "bitcast" else [user]
    return found


def written(inner: Computation, fusion: HloInstruction, begins: bool) -> int:
    """Bytes that a fusion writes: of arrays that it updates in place only the part."""
    root = inner.root
    roots = [inner.instructions[name] for name in root.operands] if root.opcode == "tuple" else [root]
    if len(roots) != len(fusion.result):  # a custom call that gives several, of which some are its operands
        kept = {int(index) for index in _ALIASED.findall(fusion.rest)}
        return sum(array.bytes for n, array in enumerate(fusion.result) if not array.fast and n not in kept)
    total = 0
    for result, made in zip(fusion.result, roots, strict=True):
        while made.opcode == "bitcast":
            made = inner.instructions[made.operands[0]]
        if result.fast or made.opcode == "parameter" or _passes(inner, made, begins):
            continue
        update = made.opcode == "dynamic-update-slice"
        total += inner.instructions[made.operands[1]].bytes if update else result.bytes
    return total


def _passes(inner: Computation, user: HloInstruction, begins: bool) -> bool:
    """Whether an instruction of a fusion only hands on: its tuple of results, or a collective that began before."""
    if user.opcode == "custom-call" and '"AsyncCollectiveDone"' in user.rest:
        return True
    return (user.root and user.opcode == "tuple") or (collectives.kind_of(user) is not None and not begins)
