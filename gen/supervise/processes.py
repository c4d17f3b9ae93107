"""The processes of one run on this machine: a command once for each, with its place among them.

alike(["python", "-m", "launch.train", ...], 2, devices=4)      # the second ends with ... --processes=2 --process=1
"""

import secrets
from collections.abc import Sequence

from gen.hosts import free_port
from gen.hosts.secret import SIZE, VARIABLE
from gen.supervise.attempt import ChildProcess

LOOPBACK = "127.0.0.1"


def alike(command: Sequence[str], processes: int, devices: int | None) -> list[ChildProcess]:
    """They meet at a free port of the loopback interface, by a secret of their own, and compute on `devices` fake CPU
    devices each; on what JAX finds where that is None."""
    fake = {} if devices is None else {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(devices)}
    env = {VARIABLE: secrets.token_hex(SIZE)} | fake
    run = [f"--coordinator={LOOPBACK}:{free_port(LOOPBACK)}", f"--bind={LOOPBACK}", f"--processes={processes}"]
    return [ChildProcess([*command, *run, f"--process={index}"], env) for index in range(processes)]
