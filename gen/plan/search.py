"""Ways to lay a run out on a machine: meshes, what the backward pass keeps, and micro-batches.

    found = search(meshes(512), lambda mesh: within(mesh, 512, ("none", "dots", "full")), attempt, limit=20)

Meshes are those of `data`, `fsdp` and `tensor`, with at most MOST_TENSOR devices to a product of matrices. As compiling
takes long, tries are spent where they tell most: each mesh begins with what needs the least memory for its rows, and
once that fits computes less again; the mesh that is the quickest so far goes first.
"""

import dataclasses
import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from gen.plan.plan import OutOfMemory, Plan

MOST_TENSOR = 16


class Layout(NamedTuple):
    """`remat` is None for models that have no such choice."""

    mesh: dict[str, int]
    remat: str | None
    accumulate: int


class Candidate(NamedTuple):
    way: Layout
    plan: Plan | OutOfMemory

    @property
    def fits(self) -> bool:
        return self.plan.fits is not False

    @property
    def seconds(self) -> float:
        return self.plan.seconds or 0.0 if isinstance(self.plan, Plan) else 0.0


@dataclasses.dataclass(order=True)
class _Open:
    """A mesh with ways left to try: those without a fit before those with one, the quickest of them first."""

    fitting: bool
    rank: float  # how many have failed, or the seconds of the best
    number: int
    ways: list[Layout] = dataclasses.field(compare=False)


def search(
    shapes: Iterable[dict[str, int]],
    ways: Callable[[dict[str, int]], Iterable[Layout]],
    attempt: Callable[[Layout], Plan | OutOfMemory],
    limit: int,
) -> list[Candidate]:
    """Tries at most `limit` ways; those that fit first, the quickest before the others.

    `attempt` raises ValueError for a mesh that the run cannot be laid out on, which is no try. Raises the last of them
    where there is no other.
    """
    tried: list[Candidate] = []
    refused: ValueError | None = None
    waiting = [_Open(False, 0.0, number, list(ways(shape))) for number, shape in enumerate(shapes)]
    waiting = [one for one in waiting if one.ways]
    heapq.heapify(waiting)
    while waiting and len(tried) < limit:
        mesh = heapq.heappop(waiting)
        try:
            one = Candidate(mesh.ways[0], attempt(mesh.ways[0]))
        except ValueError as error:
            refused = error
            continue
        tried.append(one)
        if one.fits:
            rank = min(one.seconds, mesh.rank) if mesh.fitting else one.seconds
        else:
            rank = mesh.rank if mesh.fitting else mesh.rank + 1
        if left := prune(mesh.ways[1:], one):
            heapq.heappush(waiting, _Open(mesh.fitting or one.fits, rank, mesh.number, left))
    if refused is not None and not tried:
        raise refused
    return sorted(tried, key=lambda one: (not one.fits, one.seconds))


def prune(ways: Iterable[Layout], tried: Candidate) -> list[Layout]:
    """The ways of a mesh that are worth a try after one of them: where it fits, more micro-batches only cost more;
    where it does not, what needs as much memory or more does not either."""
    way = tried.way
    if tried.fits:
        return [other for other in ways if other.remat != way.remat]
    return [other for other in ways if other.accumulate > way.accumulate]


def meshes(devices: int) -> Iterator[dict[str, int]]:
    """Shapes of all devices: weights cut over `fsdp` and `tensor`, the batch over what is left as well."""
    tensor = 1
    while tensor <= MOST_TENSOR and devices % tensor == 0:
        fsdp = devices // tensor
        while True:
            yield {"data": devices // tensor // fsdp, "fsdp": fsdp, "tensor": tensor}
            if fsdp % 2:
                break
            fsdp //= 2
        tensor *= 2


def within(mesh: dict[str, int], batch: int, remats: Sequence[str | None]) -> Iterator[Layout]:
    """The ways to use one mesh, from what needs the least memory for its rows on; `remats` are from the one that keeps
    the most."""
    rows = batch // (mesh["data"] * mesh["fsdp"])
    for remat in reversed(remats):
        for accumulate in (n for n in powers(rows) if rows % n == 0):
            yield Layout(mesh, remat, accumulate)


def powers(most: int) -> Iterator[int]:
    n = 1
    while n <= most:
        yield n
        n *= 2
