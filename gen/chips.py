"""What chips can do at most, the denominator of model FLOPs utilisation (MFU).

mfu = flops.count(step, *args).flops / seconds_per_step / peak_flops(jax.devices())
"""

import re
from collections.abc import Iterable

import jax

# Dense bfloat16 FLOP/s of one chip, by a pattern of `device.device_kind`; the first that matches holds.
# NVIDIA: data sheets of A100 (2021), H100 (2023) and H200 (2024), without sparsity.
# Google: cloud.google.com/tpu/docs, the pages "TPU v4", "TPU v5e", "TPU v5p" and "TPU v6e (Trillium)".
PEAKS = {
    r"A100": 312e12,
    r"H100 PCIe": 756e12,
    r"H100|H200": 989e12,
    r"TPU v4$": 275e12,
    r"TPU v5 ?(lite|e)": 197e12,
    r"TPU v5p?$": 459e12,
    r"TPU v6 ?(lite|e)": 918e12,
}


def peak_flops(devices: Iterable[jax.Device]) -> float:
    """Dense bfloat16 FLOP/s of all `devices` together; 0 when one of them, as any CPU, is not in the table."""
    peaks = [peak(device.device_kind) for device in devices]
    return sum(peaks) if all(peaks) else 0.0


def peak(kind: str) -> float:
    """Dense bfloat16 FLOP/s of one chip of a kind; 0 when it is not in the table."""
    return next((flops for pattern, flops in PEAKS.items() if re.search(pattern, kind)), 0.0)
