"""Ways to lay a run out on a machine: meshes, what the backward pass keeps, and micro-batches.

    found = search(meshes(512), lambda mesh: within(mesh, 512, ("none", "dots", "full")), attempt, limit=20)

Meshes are those of `data`, `fsdp` and `tensor`, with at most MOST_TENSOR devices to a product of matrices. In one mesh
the ways are tried from the one that computes the least again and takes the most rows at once, so that the first that
fits is also the quickest, and the others of that mesh are left out.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from gen.plan.plan import Plan, TooLarge

MOST_TENSOR = 16


class Way(NamedTuple):
    """`remat` is None for models that have no such choice."""

    mesh: dict[str, int]
    remat: str | None
    accumulate: int


class Tried(NamedTuple):
    way: Way
    plan: Plan | TooLarge

    @property
    def fits(self) -> bool:
        return self.plan.fits is not False


def search(
    shapes: Iterable[dict[str, int]],
    ways: Callable[[dict[str, int]], Iterable[Way]],
    attempt: Callable[[Way], Plan | TooLarge],
    limit: int,
) -> list[Tried]:
    """Tries at most `limit` ways; those that fit first, the quickest before the others.

    `attempt` raises ValueError for a way that a run cannot be laid out in, which is no try.
    """
    tried: list[Tried] = []
    for shape in shapes:
        for way in ways(shape):
            if len(tried) == limit:
                break
            try:
                tried.append(Tried(way, attempt(way)))
            except ValueError:
                break  # another remat or micro-batch divides no better
            if tried[-1].fits:
                break
    seconds = lambda one: one.plan.seconds or 0.0 if isinstance(one.plan, Plan) else 0.0
    return sorted(tried, key=lambda one: (not one.fits, seconds(one)))


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


def within(mesh: dict[str, int], batch: int, remats: Sequence[str | None]) -> Iterator[Way]:
    """The ways to use one mesh, from the quickest and fullest on."""
    rows = batch // (mesh["data"] * mesh["fsdp"])
    for accumulate in (n for n in powers(rows) if rows % n == 0):
        for remat in remats:
            yield Way(mesh, remat, accumulate)


def powers(most: int) -> Iterator[int]:
    n = 1
    while n <= most:
        yield n
        n *= 2
