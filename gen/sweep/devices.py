"""Which of this machine's GPUs each of several trials at a time has: a share of its own, or a part of one's memory.

shares(2)       # of four GPUs: [{"CUDA_VISIBLE_DEVICES": "0,1"}, {"CUDA_VISIBLE_DEVICES": "2,3"}]
"""

import math
import os
from pathlib import Path

from gen.plan.topology import preallocated

VISIBLE, FRACTION = "CUDA_VISIBLE_DEVICES", "XLA_PYTHON_CLIENT_MEM_FRACTION"


def shares(jobs: int, dev: Path = Path("/dev")) -> list[dict[str, str]]:
    """What the environment of each of so many jobs has beside that of who starts them. All have equally many GPUs, as
    their runs depend on that: what is left over stays idle. Where there are no GPUs, nothing is said."""
    found = gpus(dev)
    if jobs == 1 or not found:
        return [{}] * jobs
    if each := len(found) // jobs:
        return [{VISIBLE: ",".join(found[job * each : (job + 1) * each])} for job in range(jobs)]
    part = {
        FRACTION: f"{preallocated() / math.ceil(jobs / len(found)):.3f}"
    }  # else the first to start takes most of it
    return [{VISIBLE: found[job % len(found)], **part} for job in range(jobs)]


def gpus(dev: Path) -> list[str]:
    """NVIDIA's, as CUDA names them. JAX is not asked: who has asked it holds their memory."""
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        return []
    if (given := os.environ.get(VISIBLE)) is not None:
        return [name for name in given.split(",") if name and name != "-1"]
    return [str(index) for index in range(len(list(dev.glob("nvidia[0-9]*"))))]
