"""What chips can do at most: the denominator of model FLOPs utilisation (MFU), and the roofs of a plan.

mfu = flops.count(step, *args).flops / seconds_per_step / peak_flops(jax.devices())
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

import jax

GB, GIB = 10**9, 2**30


class Chip(NamedTuple):
    """What jax calls a device: dense bfloat16 FLOP/s, bytes of memory, bytes a second between it and its memory, and
    bytes a second that it sends to others over all of its links."""

    flops: float
    memory: float
    bandwidth: float
    link: float


# By a pattern of `device.device_kind`; the first that matches holds.
# NVIDIA: data sheets of A100 SXM (2021), H100 (2023), H200 (2024) and DGX B200 (2025), without sparsity; NVLink's
# figure counts both directions, of which one is half.
# Google: cloud.google.com/tpu/docs, the pages "TPU v4", "TPU v5e", "TPU v5p", "TPU v6e (Trillium)" and "TPU7x
# (Ironwood)", whose newer figures of the interconnect count both directions. A chip of TPU7x is two devices.
CHIPS = {
    r"A100.*40GB": Chip(312e12, 40 * GB, 1555 * GB, 300 * GB),
    r"A100": Chip(312e12, 80 * GB, 2039 * GB, 300 * GB),
    r"\bH100 PCIe": Chip(756e12, 80 * GB, 2000 * GB, 300 * GB),
    r"\bH100 NVL": Chip(835e12, 94 * GB, 3900 * GB, 300 * GB),
    r"\bH100": Chip(989e12, 80 * GB, 3350 * GB, 450 * GB),
    r"\bH200": Chip(989e12, 141 * GB, 4800 * GB, 450 * GB),
    r"B200": Chip(2250e12, 180 * GB, 8000 * GB, 900 * GB),
    r"TPU v4$": Chip(275e12, 32 * GIB, 1228 * GB, 300 * GB),
    r"TPU v5 ?(lite|e)": Chip(197e12, 16 * GIB, 819 * GB, 200 * GB),
    r"TPU v5p?$": Chip(459e12, 95 * GIB, 2765 * GB, 600 * GB),
    r"TPU v6 ?(lite|e)": Chip(918e12, 32 * GIB, 1638 * GB, 400 * GB),
    r"TPU ?7x?": Chip(2307e12 / 2, 192 * GIB / 2, 7380 * GB / 2, 600 * GB / 2),
}


def peak_flops(devices: Iterable[jax.Device]) -> float:
    """Dense bfloat16 FLOP/s of all `devices` together; 0 when one of them, as any CPU, is not in the table."""
    found = [chip(device.device_kind) for device in devices]
    return sum(one.flops for one in found if one) if all(found) else 0.0


def chip(kind: str) -> Chip | None:
    """A device of a kind; None when it is not in the table."""
    return next((found for pattern, found in CHIPS.items() if re.search(pattern, kind)), None)
