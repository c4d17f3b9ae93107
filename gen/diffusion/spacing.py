"""Which times a sampler visits: descending arrays of n out of `total` discrete steps, or of n continuous times.

The step from the last of them to clean data is the sampler's own.

    respaced(7, 1000)  ->  [999 832 666 500 333 166 0]
"""

import numpy as np
from jaxtyping import Float32, Int32


def _check(n: int, total: int, least: int) -> None:
    if not least <= n <= total:
        raise ValueError(f"cannot sample in {n} of {total} steps; take between {least} and {total}")


def respaced(n: int, total: int) -> Int32[np.ndarray, "n"]:
    """Evenly spaced with both ends: unCLIP, GLIDE, and iDDPM (arXiv 2102.09672, section 4)."""
    _check(n, total, least=2)
    return np.linspace(0, total - 1, n).round()[::-1].astype(np.int32)


def leading(n: int, total: int, offset: int) -> Int32[np.ndarray, "n"]:
    """Multiples of total // n, plus an offset: DDIM (arXiv 2010.02502) with 0, Stable Diffusion 1 and 2 with 1."""
    _check(n, total, least=1)
    return (np.arange(n) * (total // n) + offset)[::-1].astype(np.int32)


def trailing(n: int, total: int) -> Int32[np.ndarray, "n"]:
    """Evenly spaced from the last step, so that sampling starts at pure noise (arXiv 2305.08891, section 3.3)."""
    _check(n, total, least=1)
    return ((total - np.arange(n) * (total / n)).round() - 1).astype(np.int32)


def uniform(n: int) -> Float32[np.ndarray, "n"]:
    """Evenly spaced continuous times from 1 down to 1 / n."""
    return (np.arange(n, 0, -1) / n).astype(np.float32)
