"""A bar for work that takes a while: on a terminal, and only when there is more than a few seconds of it.

for texts in progress(batches, len, corpus, "encoding stdlib (train)"):
    ...
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized

from rich.console import Console
from rich.progress import Progress

PATIENCE = 2.0  # seconds without a bar


def progress[T](batches: Iterable[T], count: Callable[[T], int], total: Sized, title: str) -> Iterator[T]:
    """The `batches` themselves; each moves the bar on by its `count`, up to len(total), asked when the bar appears."""
    if not sys.stderr.isatty():
        yield from batches
        return
    begun, done = time.monotonic(), 0
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = None
        for batch in batches:
            yield batch
            done += count(batch)
            if task is None and time.monotonic() - begun > PATIENCE:
                task = bar.add_task(title, total=len(total))
            if task is not None:
                bar.update(task, completed=done)
