"""Reading ahead: the function `read`, with the next positions already under way in threads.

    with Prefetcher(loader.batch, depth=2) as batch:
        for step in range(start, stop):
            step_fn(state, batch(step))         # loader.batch(step + 1) and (step + 2) are being read

It is the same function, only faster: positions may be asked for in any order, and one that was not foreseen is read
on the spot.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Prefetcher[Batch]:
    """`read`, remembering the `depth` positions after the last one asked for: at most depth + 1 batches in memory."""

    def __init__(self, read: Callable[[int], Batch], depth: int):
        if depth < 1:
            raise ValueError(f"reading ahead needs a depth of at least 1, got {depth}")
        self._read, self._depth = read, depth
        self._pool = ThreadPoolExecutor(depth, thread_name_prefix="read-ahead")
        self._pending: dict[int, Future[Batch]] = {}

    def __call__(self, position: int) -> Batch:
        """`read(position)`, or the exception that it raised: errors of positions never asked for stay unheard."""
        wanted = range(position, position + self._depth + 1)
        for stale in self._pending.keys() - set(wanted):
            self._pending.pop(stale).cancel()
        for due in wanted:
            if due not in self._pending:
                self._pending[due] = self._pool.submit(self._read, due)
        return self._pending.pop(position).result()

    def close(self) -> None:
        """Waits for the reads under way, drops the others and ends the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> "Prefetcher[Batch]":
        return self

    def __exit__(self, *_) -> None:
        self.close()
