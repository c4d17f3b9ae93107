"""What the processes of a run are asked before they train together: whether they are alike, and share a directory.

    hosts.join(place, record(workdir, 60.0, data), ...)      # names who differs
    check_shared(Path(workdir), limit=60.0)    # names who does not see what process 0 writes there

A difference found later is a collective in which the others wait, or a checkpoint of which a part lies elsewhere.
"""

import contextlib
import importlib.metadata
import os
import secrets
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from gen import exit_codes, files, hosts, tree
from gen.hosts import malloc
from gen.messages import bare
from gen.training import manifest
from gen.training.run_dir import RunDir

RETRY = 0.2  # seconds


def record(workdir: str, heartbeat: float, data: Mapping[str, Any]) -> dict[str, Any]:
    """What all must have in common, as far as it is known before jax looks for devices."""
    software = dict(tree.paths(manifest.software(), is_leaf=lambda value: value is None))
    return {
        **{path: value for path, value in software.items() if path not in manifest.INDIRECT},
        "config_sha256": manifest.config_digest(data),
        "workdir": os.path.abspath(workdir),
        "heartbeat": heartbeat,
        **platform(),
    }


def platform() -> dict[str, str]:
    """What jax will find to compute on, without asking it: where one host has nothing but its CPU, the others would
    wait for its accelerators."""
    told = os.environ.get("JAX_PLATFORMS", "")
    if told == "cpu":
        return {"JAX_PLATFORMS": told}
    plugins = sorted(plugin.name for plugin in importlib.metadata.entry_points(group="jax_plugins"))
    return {"JAX_PLATFORMS": told, "jax_plugins": ", ".join(plugins), "accelerators": accelerators()}


def accelerators(dev: Path = Path("/dev")) -> str:
    """Whose accelerators this host has, by its device files. How many is not said: each process may be given some."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    here = {
        "NVIDIA": not hidden and any(dev.glob("nvidia[0-9]*")),
        "AMD": (dev / "kfd").exists(),
        "Google": malloc.tpus(),
    }
    return ", ".join(name for name, found in here.items() if found) or "none"


def check_shared(workdir: Path, limit: float) -> None:
    """Raises NotTogether where a process does not see what process 0 writes into the directory; it may come to within
    `limit` seconds, as a network's file system keeps what it last saw of a directory for a while."""
    token = workdir / hosts.all_gather("token", f".shared-{secrets.token_hex(8)}")[0]
    try:
        hosts.all_or_raise("write token", lambda: write(token), files.CannotWrite)
        seen = hosts.all_gather("read token", [bare(socket.gethostname()), appears(token, limit)])
    finally:
        if jax.process_index() == 0:
            with contextlib.suppress(OSError):
                token.unlink()
    blind = ", ".join(f"process {index} ({host})" for index, (host, sees) in enumerate(seen) if not sees)
    if blind:
        sentence = (
            f"{blind} does not see what process 0 ({seen[0][0]}) writes into {workdir.absolute()};"
            " give all the same directory, on a file system that they share"
        )
        raise hosts.RendezvousError(exit_codes.USAGE, sentence)


def write(token: Path) -> None:
    """Makes the directory, and in it a file that holds its own name."""
    if jax.process_index() == 0:
        RunDir(token.parent).make()
        files.write_text(token, token.name)


def appears(token: Path, limit: float) -> bool:
    """Whether it is there, or comes to be."""
    deadline = time.monotonic() + limit
    while True:
        with contextlib.suppress(OSError):
            if token.read_text() == token.name:
                return True
        if time.monotonic() > deadline:
            return False
        time.sleep(RETRY)
