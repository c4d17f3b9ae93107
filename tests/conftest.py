"""Set before jax is imported: eight fake devices on the CPU, and the types of gen checked at run time."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

from jaxtyping import install_import_hook

install_import_hook("gen", "beartype.beartype")
