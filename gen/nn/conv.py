"""Two-dimensional convolution, images as (B, Y, X, C), kernels as (rows, columns, in, out)."""

import jax
from jaxtyping import Array, Float

from gen import mesh, spec
from gen.spec import Params, Spec, Specs


def conv_spec(c_in: int, c_out: int, size: int = 3, *, stddev: float | None = None) -> Specs:
    """A `size` x `size` kernel, by default of standard deviation (size^2 c_in) ** -0.5, and a zero bias."""
    stddev = (size * size * c_in) ** -0.5 if stddev is None else stddev
    return {
        "kernel": Spec((size, size, c_in, c_out), (None, None, "conv_in", "conv_out"), spec.normal(stddev)),
        "bias": Spec((c_out,), ("conv_out",), spec.zeros),
    }


def conv(params: Params, x_BYXC: Float[Array, "B Y X I"], stride: int = 1) -> Float[Array, "B V U O"]:
    """Padded so that stride 1 keeps the size and stride 2 halves it (pads (1, 1), as torch does with padding=1)."""
    size = params["kernel"].shape[0]
    # The kernel is gathered over `fsdp` before it is used. Left to itself the partitioner gets the input gradient of
    # strided convolutions wrong (docs/log.md, "A wrong gradient behind a right loss").
    kernel = mesh.shard(params["kernel"].astype(x_BYXC.dtype), None, None, None, "conv_out")
    y_BYXC = jax.lax.conv_general_dilated(
        x_BYXC,
        kernel,
        window_strides=(stride, stride),
        padding=[(size // 2, (size - 1) // 2)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return mesh.shard(y_BYXC + params["bias"].astype(x_BYXC.dtype), "batch", None, None, "channels")
