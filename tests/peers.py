"""What other implementations computed (third_party/parity), and gen's configs of the same tiny models."""

import gzip
import json
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from gen.interop import safetensors
from gen.models.clip import CLIPConfig, CLIPTextConfig, VisionConfig
from gen.models.decoder import DecoderConfig
from gen.models.prior import PriorConfig
from gen.models.unet import UNetConfig
from gen.nn.transformer import TransformerConfig

FOLDER = pathlib.Path(__file__).parent.parent / "third_party" / "parity"

CLIP = CLIPConfig(
    embed=20,
    image=VisionConfig(12, 4, TransformerConfig(width=32, layers=2, heads=2, mlp=52, activation="quick_gelu")),
    text=CLIPTextConfig(
        99, 9, TransformerConfig(width=24, layers=3, heads=3, mlp=40, activation="quick_gelu", causal=True)
    ),
)
PRIOR = PriorConfig(
    embed=20, context=7, transformer=TransformerConfig(width=24, layers=3, heads=3, causal=True), states=20
)
DECODER = DecoderConfig(
    unet=UNetConfig(
        channels=8,
        multipliers=(1, 2, 3),
        blocks=1,
        resolution=8,
        attention=(4, 2),
        head_dim=8,
        context=12,
        out_channels=6,
        groups=4,
    ),
    embed=10,
    tokens=3,
    states=10,
)
UPSAMPLER = UNetConfig(
    channels=8,
    multipliers=(1, 2),
    blocks=2,
    resolution=8,
    middle_attention=False,
    in_channels=6,
    scale_shift=False,
    groups=4,
)


class Recorded(NamedTuple):
    weights: dict[str, np.ndarray]
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


def group(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names start with a prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def recorded(peer: str) -> Recorded:
    arrays = safetensors.load(FOLDER / f"{peer}.safetensors")
    return Recorded(group(arrays, "weights/"), group(arrays, "inputs/"), group(arrays, "outputs/"))


def full_size_names(peer: str) -> dict[str, tuple[int, ...]]:
    """A published model's {name: shape}."""
    names = json.loads(gzip.decompress((FOLDER / "names.json.gz").read_bytes()))
    return {name: tuple(shape) for name, shape in names[peer].items()}


def channels_last(images_BCYX: np.ndarray) -> np.ndarray:
    return images_BCYX.transpose(0, 2, 3, 1)


def hasty(function: Callable) -> Callable:
    """jax.jit for programs that run once: compiling is most of their time."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def assert_same(ours, peer: np.ndarray) -> None:
    """Equal to 1e-5 of the largest value, about what float32 leaves after a few layers."""
    assert ours.shape == peer.shape
    difference = np.abs(ours - peer).max() / np.abs(peer).max()
    assert difference <= 1e-5, f"differs by {difference:.1e} of the largest value"
