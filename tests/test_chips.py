import jax
import pytest

from gen import chips


@pytest.mark.parametrize(
    "kind, teraflops",
    [
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
        ("TPU v4", 275),
        ("TPU v4 lite", 0),
        ("TPU v5 lite", 197),
        ("TPU v5e", 197),
        ("TPU v5", 459),
        ("TPU v5p", 459),
        ("TPU v6 lite", 918),
        ("NVIDIA GeForce GTX 1080", 0),
    ],
)
def test_chips_are_told_by_the_kind_that_jax_reports(kind, teraflops):
    assert chips.peak(kind) == teraflops * 1e12


def test_peaks_of_devices_add_up(monkeypatch):
    devices = jax.devices("cpu")
    assert chips.peak_flops(devices) == 0
    monkeypatch.setitem(chips.PEAKS, "cpu", 2e12)
    assert chips.peak_flops(devices) == 2e12 * len(devices)
