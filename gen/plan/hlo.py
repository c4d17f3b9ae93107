"""Compiled programs as XLA prints them: computations, and how often one run of the program visits each instruction.

    module = parse(compiled.as_text())
    for instruction, times in module.visits():
        ...

A loop's body is visited as often as the loop runs, which a scan's condition tells: its counter is less than a constant.
What is inside of a fusion is not visited: it is one pass over memory.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping

BITS = {"pred": 8, "token": 0, "opaque": 0}  # other dtypes carry theirs in their names

_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*-> .* \{$")
_END = re.compile(r"^\}(, execution_thread=.*)?$")
_LINE = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*)$")
_OPCODE = re.compile(r"(?<=[\s)])([a-z][\w\-]*)\(")
_ARRAY = re.compile(r"([a-z]\w*)\[([\d,]*)\](\{[^{}]*\})?")
_NAME = re.compile(r"%([\w.\-]+)")
_CALLED = re.compile(r"(?:calls|to_apply|called_computations=\{)=?%([\w.\-]+)")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


@dataclasses.dataclass(frozen=True)
class HloArray:
    """One array of an instruction's result; `fast` if it lies in a chip's own memory (a TPU's VMEM), not in its HBM."""

    dtype: str
    shape: tuple[int, ...]
    fast: bool = False

    @property
    def bytes(self) -> int:
        bits = BITS.get(self.dtype)
        if bits is None:
            bits = int(re.search(r"\d+", self.dtype)[0])  # type: ignore[index]
        return math.ceil(math.prod(self.shape) * bits / 8)


@dataclasses.dataclass(frozen=True)
class HloInstruction:
    name: str
    opcode: str
    result: tuple[HloArray, ...]
    operands: tuple[str, ...]
    rest: str  # its attributes, as text; of a constant or a parameter what stands in the parentheses
    root: bool

    def attribute(self, pattern: str) -> str | None:
        found = re.search(pattern, self.rest)
        return found and found[1]

    @property
    def bytes(self) -> int:
        return sum(array.bytes for array in self.result)


@dataclasses.dataclass(frozen=True)
class Computation:
    name: str
    instructions: Mapping[str, HloInstruction]

    @property
    def root(self) -> HloInstruction:
        return next(i for i in self.instructions.values() if i.root)

    def users(self, name: str) -> list[HloInstruction]:
        return [i for i in self.instructions.values() if name in i.operands]


@dataclasses.dataclass(frozen=True)
class HloModule:
    entry: str
    computations: Mapping[str, Computation]

    def called(self, instruction: HloInstruction) -> Computation | None:
        """What a fusion, a call or an asynchronous start calls."""
        found = _CALLED.search(instruction.rest)
        return self.computations.get(found[1]) if found else None

    def visits(self) -> Iterator[tuple[Computation, HloInstruction, int]]:
        """Every instruction that runs, in its computation, and how often; of a conditional every branch counts."""
        yield from self._visits(self.entry, 1)

    def _visits(self, name: str, times: int) -> Iterator[tuple[Computation, HloInstruction, int]]:
        computation = self.computations[name]
        for instruction in computation.instructions.values():
            yield computation, instruction, times
            if instruction.opcode == "while":
                body = instruction.attribute(r"body=%([\w.\-]+)")
                yield from self._visits(str(body), times * (self.trips(instruction) or 1))
            elif instruction.opcode == "conditional":
                for branch in _NAME.findall(instruction.attribute(r"branch_computations=\{([^}]*)\}") or ""):
                    yield from self._visits(branch, times)
            elif instruction.opcode in ("call", "call-start", "async-start") and (inner := self.called(instruction)):
                yield from self._visits(inner.name, times)

    def trips(self, loop: HloInstruction) -> int | None:
        """How often a while loop runs; None where only its run knows."""
        if known := loop.attribute(_TRIPS.pattern):
            return int(known)
        condition = self.computations[str(loop.attribute(r"condition=%([\w.\-]+)"))]
        return self._limit(condition)

    def _limit(self, condition: Computation) -> int | None:
        """The constant that a condition compares a counter from 0 with."""
        root = condition.root
        where = self.called(root) if root.opcode == "fusion" else condition
        if where is None or where.root.opcode != "compare" or "direction=LT" not in where.root.rest:
            return None
        constants = {
            name: int(i.rest)
            for computation in (condition, where)
            for name, i in computation.instructions.items()
            if i.opcode == "constant" and re.fullmatch(r"\d+", i.rest)
        }
        return next(iter(constants.values())) if len(constants) == 1 else None


def parse(text: str) -> HloModule:
    """The module that XLA has printed."""
    entry, name = "", ""
    computations: dict[str, Computation] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if header := _HEADER.match(line):
            name, lines = header[2], []
            entry = name if header[1] else entry
        elif name and _END.match(line):
            found = (_instruction(whole) for whole in lines)
            computations[name] = Computation(name, {instruction.name: instruction for instruction in found})
            name = ""
        elif name and _LINE.match(line):
            lines.append(line)
        elif name and lines:  # what a kernel says of itself may go over several lines, and begin them with "}"
            lines[-1] += line
    return HloModule(entry, computations)


def _instruction(line: str) -> HloInstruction:
    said = _LINE.match(line)
    assert said is not None
    name, text, root = said[2], said[3], bool(said[1])
    found = _OPCODE.search(text)
    assert found is not None, f"no instruction: {text}"
    start = found.end()
    end = _closing(text, start)
    inside, rest = text[start:end], text[end + 1 :]
    if found[1] in ("constant", "parameter"):
        rest = inside
    return HloInstruction(name, found[1], arrays(text[: found.start()]), tuple(_NAME.findall(inside)), rest, root)


def _closing(text: str, start: int) -> int:
    depth = 1
    for position in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[position], 0)
        if depth == 0:
            return position
    return len(text)


def arrays(text: str) -> tuple[HloArray, ...]:
    """The arrays of a result, as "(f32[2,3]{1,0}, bf16[4]{0:T(128)S(1)})"."""
    return tuple(
        HloArray(dtype, tuple(int(n) for n in shape.split(",") if n), "S(" in (layout or ""))
        for dtype, shape, layout in _ARRAY.findall(text)
    )
