"""The devices that a launch program computes on, with the process made ready for them."""

import ctypes
import functools

import jax

# glibc's mallopt: how much free memory at the top of the heap is kept, how many blocks may be mapped, how many heaps
TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8


@functools.cache
def devices() -> list[jax.Device]:
    """All devices, as `jax.devices` gives them.

    Where they are CPUs, freed memory stays with the process: XLA asks for all its temporaries at every call and gives
    them back at its end, and to have each page mapped and cleared anew takes a tenth of a training step.
    """
    found = jax.devices()
    libc = ctypes.CDLL(None)
    if found[0].platform == "cpu" and hasattr(libc, "mallopt"):
        for option, value in ((TRIM_THRESHOLD, 2**31 - 1), (MMAP_MAX, 0), (ARENA_MAX, 1)):
            libc.mallopt(option, value)
    return found
