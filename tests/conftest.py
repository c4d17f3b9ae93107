"""Set before jax is imported: eight fake devices on the CPU, quick compilation, and gen's types checked at run time."""

import os
import tempfile

os.environ["JAX_PLATFORMS"] = "cpu"
# level 0: tests compile much and compute little
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"

# encoded corpora, which all processes of a test run share, and the next run finds again
os.environ["GEN_CACHE"] = os.path.join(tempfile.gettempdir(), f"gen-tests-{os.getuid()}")

from jaxtyping import install_import_hook

install_import_hook("gen", "beartype.beartype")

# files that take a minute or more go first, so that no process is left alone with one at the end
LONGEST = [
    "test_command",
    "test_resume",
    "test_writer",
    "test_rollouts",
    "test_language",
    "test_classify",
    "test_bench",
    "test_replay",
    "test_agreement",
]


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.stem not in LONGEST)
