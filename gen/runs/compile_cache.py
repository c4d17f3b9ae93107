"""Programs that come again in one process, as those of the same stages for several seeds, are compiled once.

with compiled_once():
    ...
"""

import contextlib
import tempfile
from collections.abc import Iterator

import jax
from jax.experimental.compilation_cache import compilation_cache

PLACE = "jax_compilation_cache_dir"


@contextlib.contextmanager
def compiled_once() -> Iterator[None]:
    """What was compiled lies in a directory of this process, which is gone at the end: it is code that will be run, so
    it is not kept in run directories, which others hand on. A place that the user has set for all of jax is left."""
    if jax.config.values[PLACE]:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="gen-compiled-") as place:
        jax.config.update(PLACE, place)
        compilation_cache.reset_cache()
        try:
            yield
        finally:
            jax.config.update(PLACE, None)
            compilation_cache.reset_cache()
