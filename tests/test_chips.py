import jax
import pytest

from gen import hardware


@pytest.mark.parametrize(
    "kind, teraflops, gigabytes",
    [
        ("NVIDIA A100-SXM4-80GB", 312, 80),
        ("NVIDIA A100-SXM4-40GB", 312, 40),
        ("NVIDIA H100 NVL", 835, 94),
        ("NVIDIA H100 80GB HBM3", 989, 80),
        ("NVIDIA H100 PCIe", 756, 80),
        ("NVIDIA H200", 989, 141),
        ("NVIDIA B200", 2250, 180),
        ("TPU v4", 275, 34.36),
        ("TPU v5 lite", 197, 17.18),
        ("TPU v5e", 197, 17.18),
        ("TPU v5", 459, 102.01),
        ("TPU v5p", 459, 102.01),
        ("TPU v6 lite", 918, 34.36),
        ("TPU7x", 1153.5, 103.08),  # a chip is two devices
    ],
)
def test_chips_are_told_by_the_kind_that_jax_reports(kind, teraflops, gigabytes):
    found = hardware.chip(kind)
    assert (found.flops, round(found.memory / 1e9, 2)) == (teraflops * 1e12, gigabytes)
    assert found.flops > 100 * found.bandwidth > 100 * found.link > 0


@pytest.mark.parametrize("kind", ["TPU v4 lite", "NVIDIA GH200 480GB", "NVIDIA GeForce GTX 1080", "cpu"])
def test_other_kinds_are_unknown(kind):
    assert hardware.chip(kind) is None


def test_peaks_of_devices_add_up(monkeypatch):
    devices = jax.devices("cpu")
    assert hardware.peak_flops(devices) == 0
    monkeypatch.setitem(hardware.CHIPS, "cpu", hardware.Chip(2e12, 1, 1, 1))
    assert hardware.peak_flops(devices) == 2e12 * len(devices)
