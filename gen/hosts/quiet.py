"""Start-up noise of other libraries, kept from the user."""

import logging
import os
import sys
import threading
from typing import Any

from gen.hosts import malloc


def quiet() -> None:
    """Keeps third-party start-up noise from the user: TPU probing on other machines, gRPC and XLA chatter."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if malloc.computes_on_cpu():
        os.environ.setdefault("JAX_PLATFORMS", "cpu")
    for name in ("jax._src.xla_bridge", "jax._src.distributed"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in ("absl", "orbax", "asyncio"):  # what Orbax' threads meet, as a full disk, is raised as well
        logging.getLogger(name).setLevel(logging.CRITICAL)
    keep_to_exceptions()


def keep_to_exceptions() -> None:
    """Keeps errors out of sight that tensorstore's own threads meet once a save has failed, and has raised its error:
    they belong to no object, and to no thread that Python has started."""
    show = sys.unraisablehook

    def hook(error: Any) -> None:
        if error.object is not None or threading.current_thread() is threading.main_thread():
            show(error)

    sys.unraisablehook = hook
