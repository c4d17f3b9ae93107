"""Set before jax is imported: eight fake devices on the CPU, quick compilation, and gen's types checked at run time.

The same program is compiled once by a process of a test run and all processes that it starts."""

import os
import tempfile
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
# tests compile much and compute little: level 0, and without the one pass that costs more than it saves there
QUICK = "--xla_backend_optimization_level=0 --xla_disable_hlo_passes=algsimp"
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count=8 {QUICK}"
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"

# programs that come again are compiled once by each process of a test run, and by those that it starts
COMPILED = tempfile.TemporaryDirectory(prefix="gen-compiled-")
os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED.name
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

# encoded corpora, which all processes of a test run share, and the next run finds again
os.environ["GEN_CACHE"] = os.path.join(tempfile.gettempdir(), f"gen-tests-{os.getuid()}")

from jaxtyping import install_import_hook

# those that annotate arrays: checking every call of the rest would take a sixth of the time of all tests
ROOT = Path(__file__).parents[1]
ANNOTATED = [path for path in sorted((ROOT / "gen").rglob("*.py")) if "jaxtyping" in path.read_text()]
install_import_hook([".".join(path.relative_to(ROOT).with_suffix("").parts) for path in ANNOTATED], "beartype.beartype")

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
