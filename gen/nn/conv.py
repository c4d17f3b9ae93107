"""Two-dimensional convolution, images as (B, Y, X, C), kernels as (rows, columns, in, out).

    y[b, v, u] = bias + sum_pq x[b, s v + p, s u + q] kernel[p, q]          (x with its border of zeros, stride s)
    d_kernel[p, q] = sum_bvu x[b, s v + p, s u + q]^T d_y[b, v, u]

XLA is slow on CPUs at the second line where it writes it as a convolution. There it is a matrix product for each tap
(p, q) of the kernel; all other platforms keep their convolution (docs/benchmarks.md, "Convolutions on CPU").

    y_BYXO = conv(initialize(conv_spec(64, 128), key), x_BYXI)
"""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen import mesh, spec
from gen.spec import Params, Spec, Specs

# With fewer channels than WIDE, in or out, or fewer pixels than LARGE, matrix products are too thin to gain anything.
WIDE, LARGE = 64, 32 * 32

# The logical axes of input and output channels. Those of a picture (3, or 6) are too few to be cut.
INNER = ("conv_in", "conv_out")
FIRST = (None, "conv_out")
LAST = ("conv_in", None)


def conv_spec(
    c_in: int, c_out: int, size: int = 3, *, axes: tuple[str | None, str | None] = INNER, stddev: float | None = None
) -> Specs:
    """A `size` x `size` kernel, by default of standard deviation (size^2 c_in) ** -0.5, and a zero bias."""
    stddev = (size * size * c_in) ** -0.5 if stddev is None else stddev
    return {
        "kernel": Spec((size, size, c_in, c_out), (None, None, *axes), spec.normal(stddev)),
        "bias": Spec((c_out,), (axes[1],), spec.zeros),
    }


def conv(
    params: Params, x_BYXC: Float[Array, "B Y X I"], stride: int = 1, *, axes: tuple[str | None, str | None] = INNER
) -> Float[Array, "B V U O"]:
    """Padded so that stride 1 keeps the size and stride 2 halves it (pads (1, 1), as torch does with padding=1).

    `axes` as in the Specs. Differentiable in reverse mode any number of times; where it is large, not in forward mode
    (`jax.jvp`).
    """
    # The kernel is gathered over `fsdp` before it is used. Left to itself the partitioner gets the input gradient of
    # strided convolutions wrong (docs/log.md, "A wrong gradient behind a right loss").
    kernel = mesh.shard(params["kernel"].astype(x_BYXC.dtype), None, None, None, axes[1])
    large = min(kernel.shape[2:]) >= WIDE and math.prod(x_BYXC.shape[1:3]) >= LARGE
    convolution = large_convolution if large else plain_convolution
    y_BYXC = convolution(x_BYXC, kernel, stride)
    channels = "channels" if axes[1] else None
    return mesh.shard((y_BYXC + params["bias"]).astype(x_BYXC.dtype), "batch", None, None, channels)


def border(size: int) -> tuple[int, int]:
    """Zeros before the first and after the last pixel of a row or column, for a kernel of `size`."""
    return size // 2, (size - 1) // 2


def plain_convolution(
    x_BYXC: Float[Array, "B Y X I"], kernel: Float[Array, "S S I O"], stride: int
) -> Float[Array, "B V U O"]:
    """XLA's convolution, with XLA's gradients."""
    return jax.lax.conv_general_dilated(
        x_BYXC,
        kernel,
        window_strides=(stride, stride),
        padding=[border(len(kernel))] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def large_convolution(
    x_BYXC: Float[Array, "B Y X I"], kernel: Float[Array, "S S I O"], stride: int
) -> Float[Array, "B V U O"]:
    """XLA's convolution, with a kernel gradient that is fast on CPUs too."""
    return plain_convolution(x_BYXC, kernel, stride)


def _forward(x_BYXC, kernel, stride):
    return plain_convolution(x_BYXC, kernel, stride), (x_BYXC, kernel)


def _backward(stride, saved, dy_BVUO):
    x_BYXC, kernel = saved
    (dx_BYXC,) = jax.linear_transpose(lambda x: plain_convolution(x, kernel, stride), x_BYXC)(dy_BVUO)

    def by_convolution(x_BYXC, dy_BVUO):
        return jax.linear_transpose(lambda k: plain_convolution(x_BYXC, k, stride), kernel)(dy_BVUO)[0]

    def by_taps(x_BYXC, dy_BVUO):
        return kernel_gradient(x_BYXC, dy_BVUO, len(kernel), stride)

    # chosen where the program is lowered to, which need not be where it is traced
    return dx_BYXC, jax.lax.platform_dependent(x_BYXC, dy_BVUO, cpu=by_taps, default=by_convolution)


large_convolution.defvjp(_forward, _backward)


def kernel_gradient(
    x_BYXC: Float[Array, "B Y X I"], dy_BVUO: Float[Array, "B V U O"], size: int, stride: int
) -> Float[Array, "{size} {size} I O"]:
    """The gradient of a `size` x `size` kernel, as one matrix product for each of its taps."""
    rows, columns, c_out = dy_BVUO.shape[1:]
    padded_BYXC = jnp.pad(x_BYXC, [(0, 0), border(size), border(size), (0, 0)])
    # Positions are merged only after they are cut out, and the batch comes first: a batch that is spread over devices
    # stays spread. One merged axis also spares XLA a transposed copy.
    dy_NO = dy_BVUO.reshape(-1, c_out)

    def tap(row: int, column: int) -> Float[Array, "I O"]:
        x_BVUC = padded_BYXC[:, row : row + stride * rows : stride, column : column + stride * columns : stride]
        return x_BVUC.reshape(-1, x_BYXC.shape[-1]).T @ dy_NO

    taps = [tap(row, column) for row, column in itertools.product(range(size), repeat=2)]
    return jnp.stack(taps).reshape(size, size, -1, c_out)
