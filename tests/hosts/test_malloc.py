"""Whether memory that was freed is used again, seen by the pages that the kernel has to map."""

import subprocess
import sys

import pytest

from gen.hosts import malloc

FAULTS = """
import resource, sys
if sys.argv[1] == "kept":
    from gen.hosts import malloc
    malloc.keep_freed()
import jax, jax.numpy as jnp

# two products, so that the square between them is a temporary of 64 MiB
call = jax.jit(lambda x: (jnp.dot(x, x.T) @ x).sum())
x = jnp.ones((4096, 8))
for _ in range(20):  # until small blocks have found their places around the large one
    call(x).block_until_ready()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    call(x).block_until_ready()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_the_temporaries_of_a_program_are_mapped_once():
    pages = 20 * 64 * 2**20 // 4096
    assert faults("left") > pages / 2, "the test's program has no temporary to map"
    assert faults("kept") < pages / 4


def test_only_where_jax_computes_on_cpus(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "cuda,cpu")
    assert not malloc.computes_on_cpu()
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert malloc.computes_on_cpu()
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setattr(malloc.importlib.metadata, "entry_points", lambda group: ["an accelerator's"])
    assert not malloc.computes_on_cpu()


@pytest.mark.parametrize("vendor, there", [("0x1ae0", True), ("0x8086", False)])
def test_libtpu_without_a_tpu_is_for_plans(monkeypatch, tmp_path, vendor, there):
    (tmp_path / "0000:00:04.0").mkdir()
    (tmp_path / "0000:00:04.0" / "vendor").write_text(f"{vendor}\n")
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setattr(malloc, "PCI", tmp_path)
    monkeypatch.setattr(malloc.importlib.metadata, "entry_points", lambda group: [])
    monkeypatch.setattr(malloc.importlib.util, "find_spec", lambda name: name)
    assert malloc.computes_on_cpu() != there
