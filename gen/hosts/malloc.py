"""How the C library hands out memory on machines that compute on their CPUs.

XLA asks for a program's temporaries at every call and gives them back at its end. Left to itself, glibc has the kernel
map and clear each of their pages anew, a tenth of a training step; told to keep what was freed, it does so once.
"""

import ctypes
import importlib.metadata
import importlib.util
import os
from pathlib import Path

PCI = Path("/sys/bus/pci/devices")

# mallopt's numbers: free bytes that stay at the top of the heap, blocks with mappings of their own, heaps
TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8


def keep_freed() -> None:
    """Freed memory stays with this process, where jax can only use CPUs. To be called before jax starts its threads."""
    if computes_on_cpu() and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        for option, value in ((TRIM_THRESHOLD, 2**31 - 1), (MMAP_MAX, 0), (ARENA_MAX, 1)):
            libc.mallopt(option, value)


def computes_on_cpu() -> bool:
    """Whether jax will: it is told to, or nothing is here that serves an accelerator. Does not import jax.

    libtpu is installed to plan for TPUs as well; without one it takes seconds to find that out.
    """
    if platforms := os.environ.get("JAX_PLATFORMS"):
        return platforms == "cpu"
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    return not plugins and (importlib.util.find_spec("libtpu") is None or not tpus())


def tpus() -> bool:
    """Whether the host has a device of Google's on its PCI bus, as those with TPUs do."""
    return any(vendor.read_text().strip() == "0x1ae0" for vendor in PCI.glob("*/vendor"))
