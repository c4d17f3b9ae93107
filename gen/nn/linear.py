"""y = x W + b.

The gradient of a weight is a product over all tokens, x^T dy = (dy^T x)^T. What stands on the left is written in
transposed order by XLA on CPUs, with the whole chain of element-wise operations that makes it. Autodiff puts dy there,
which for the wide side of an MLP takes half as long again; `product` puts the narrower of the two.

Decoding multiplies a few tokens with every weight. It takes kernels as `rows`, a row of inputs for each output: read in
order, they need not be packed first (twice as fast on CPUs for 2 to 32 tokens, and a third for one).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen import spec
from gen.spec import Params, Spec, Specs


@jax.custom_vjp
def product(x: Float[Array, "... I"], kernel: Float[Array, "..."]) -> Float[Array, "... O"]:
    """x W with gradients in the order that suits XLA; W is the kernel as a matrix with as many rows as x is wide.

    The kernel comes as it is stored: of one that was reshaped outside, a scan over layers would keep a copy.
    """
    return x @ kernel.reshape(x.shape[-1], -1)


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return product(x, kernel), (x, kernel)


def _backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = saved
    dx = jnp.einsum("...o,io->...i", dy, kernel.reshape(x.shape[-1], -1))
    if x.shape[-1] <= dy.shape[-1]:
        return dx, jnp.einsum("...i,...o->io", x, dy).reshape(kernel.shape)
    return dx, jnp.einsum("...o,...i->oi", dy, x).T.reshape(kernel.shape)


product.defvjp(_forward, _backward)


def linear_spec(
    d_in: int,
    d_out: int,
    axes: tuple[str | None, str | None] = ("embed", "mlp"),
    *,
    bias: bool = True,
    stddev: float | None = None,
) -> Specs:
    """A kernel (d_in, d_out) of standard deviation `stddev`, by default d_in ** -0.5, and a zero bias."""
    kernel = Spec((d_in, d_out), axes, spec.normal(d_in**-0.5 if stddev is None else stddev))
    return {"kernel": kernel} | ({"bias": Spec((d_out,), (axes[1],), spec.zeros)} if bias else {})


def linear(params: Params, x: Float[Array, "... I"], inputs: int = 1) -> Float[Array, "... O"]:
    """x W + b over the last `inputs` dimensions of x; what else the kernel has are dimensions of y.

    `params` hold {"kernel": (inputs, outputs)}, or {"rows": (outputs, inputs)} as `to_rows` makes them.
    """
    lead, into = x.shape[: x.ndim - inputs], x.shape[x.ndim - inputs :]
    x = x.reshape(*lead, math.prod(into))
    if "rows" in params:
        rows = params["rows"].astype(x.dtype)
        out = rows.shape[: rows.ndim - inputs]
        y = matmul_transposed(x, rows.reshape(-1, x.shape[-1]))
    else:
        kernel = params["kernel"].astype(x.dtype)
        out = kernel.shape[inputs:]
        y = product(x, kernel)
    y = y.reshape(*lead, *out)
    # added in the bias's own dtype: its gradient is a sum over all tokens
    return (y + params["bias"]).astype(x.dtype) if "bias" in params else y


def matmul_transposed(
    x: Float[Array, "... I"], rows_OI: Float[Array, "O I"], dtype: Any = None
) -> Float[Array, "... O"]:
    """x rows^T with the rows on the left, for a few x and many rows; `dtype` is that of the sums."""
    return jnp.moveaxis(jnp.tensordot(rows_OI, x, (1, -1), preferred_element_type=dtype), 0, -1)


def transpose_kernel(params: Params, inputs: int = 1) -> Params:
    """A linear layer with its kernel turned into rows; the kernel's first `inputs` dimensions are of its input."""
    kernel = params["kernel"]
    rest = {name: x for name, x in params.items() if name != "kernel"}
    return rest | {"rows": jnp.moveaxis(kernel, range(inputs), range(-inputs, 0))}
