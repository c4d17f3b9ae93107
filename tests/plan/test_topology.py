"""Machines by name."""

import importlib.util

import jax
import pytest

from gen import mesh as meshes
from gen.plan import topology


@pytest.mark.parametrize(
    ("name", "count", "teraflops"),
    [
        ("v5p:8x8x8", 512, 459),
        ("v4:4x4x4", 64, 275),
        ("v5e:16x16", 256, 197),
        ("v6e:16x16", 256, 918),
        ("tpu7x:2x2x1", 8, 1153.5),
        ("gpu:h100x64", 64, 989),
        ("gpu:a100x8", 8, 312),
    ],
)
def test_a_name_is_a_machine(name, count, teraflops):
    machine = topology.parse(name)
    assert (machine.count, machine.chip.flops, machine.exact) == (count, teraflops * 1e12, "gpu" not in name)


def test_of_a_gpu_s_memory_counts_what_jax_takes_of_it(monkeypatch):
    monkeypatch.delenv("XLA_PYTHON_CLIENT_MEM_FRACTION", raising=False)
    assert topology.parse("gpu:h100x8").capacity == 0.75 * 80e9
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.92")
    assert topology.parse("gpu:h100x8").capacity == pytest.approx(0.92 * 80e9)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "ABORTED: Internal error when accessing libtpu multi-process lockfile.",
            "libtpu cannot be used here: ABORTED",
        ),
        ("INVALID_ARGUMENT: not divisible by 2x2x1", "there is no such slice; there are v5p:2x2x1"),
    ],
)
def test_only_a_shape_that_is_refused_lists_the_slices(said, told, monkeypatch):
    def refuse(*_, **__):
        raise jax.errors.JaxRuntimeError(said)

    monkeypatch.setattr(topology.topologies, "get_topology_desc", refuse)
    monkeypatch.setattr(topology.importlib.util, "find_spec", lambda _: True)
    with pytest.raises(ValueError, match=told) as error:
        topology.parse("v5p:4x4x4").devices()
    assert ("there are" in str(error.value)) == ("INVALID" in said)


def test_of_a_cpu_nothing_is_known_but_how_many():
    assert (topology.parse("cpu:8").count, topology.parse("cpu:8").chip) == (8, None)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("v9:2x2", r"'v9:2x2' is none: write v5p:4x4x4, gpu:h100x64 or cpu:8; there are v4, v5e, v5p, v6e, tpu7x"),
        ("v5p", r"no such slice; there are v5p:2x2x1, v5p:2x2x2,"),
        ("v5p:4x4", r"no such slice; there are v5p:2x2x1"),
        ("v5e:32x32", r"no such slice; there are v5e:1x1, .* and others of at most 256 chips"),
        ("gpu:h10x8", r"write gpu:KINDxCOUNT, as gpu:h100x64; did you mean 'h100'"),
        ("gpu:h100x", r"'' is no number of devices from 1 to 4096"),
        ("cpu:0", r"'0' is no number of devices"),
        ("cpu:5000", r"'5000' is no number of devices"),
    ],
)
def test_one_that_there_is_not_is_an_error_that_names_others(name, message):
    with pytest.raises(ValueError, match=message):
        topology.parse(name)


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is for x86-64 Linux")
@pytest.mark.parametrize("name", ["v5p:2x2x2", "v4:2x2x1", "v5e:4x4", "v6e:2x2", "tpu7x:2x2x1"])
def test_libtpu_knows_it_by_the_kind_that_the_table_has(name):
    machine = topology.parse(name)
    machine.prepare()
    devices = machine.devices()
    assert len(devices) == machine.count
    assert topology.chips.chip(devices[0].device_kind) == machine.chip


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is for x86-64 Linux")
def test_a_mesh_whose_axes_cut_a_side_of_the_torus_is_one():
    machine = topology.parse("v5p:4x4x8")
    mesh = meshes.make(meshes.MeshConfig(data=2, fsdp=64), machine.devices())
    assert (mesh.shape["data"], mesh.shape["fsdp"], len({d.id for d in mesh.devices.flatten()})) == (2, 64, 128)


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is for x86-64 Linux")
def test_a_shape_that_no_hosts_make_up_is_an_error_that_names_others():
    with pytest.raises(ValueError, match="no such slice; there are v5p:2x2x1, .* not divisible"):
        topology.parse("v5p:3x3x3").devices()
