"""y = x W + b.

The gradient of a weight is a product over all tokens, x^T dy = (dy^T x)^T. What stands on the left is written in
transposed order by XLA on CPUs, with the whole chain of element-wise operations that makes it. Autodiff puts dy there,
which for the wide side of an MLP takes half as long again; `product` puts the narrower of the two.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen import spec
from gen.spec import Params, Spec, Specs


@jax.custom_vjp
def product(x: Float[Array, "... I"], kernel: Float[Array, "I O"]) -> Float[Array, "... O"]:
    """x @ kernel, with gradients in the order that suits XLA."""
    return x @ kernel


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return x @ kernel, (x, kernel)


def _backward(saved: tuple[Array, Array], dy: Array) -> tuple[Array, Array]:
    x, kernel = saved
    dx = jnp.einsum("...o,io->...i", dy, kernel)
    if x.shape[-1] <= dy.shape[-1]:
        return dx, jnp.einsum("...i,...o->io", x, dy)
    return dx, jnp.einsum("...o,...i->oi", dy, x).T


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


def linear(params: Params, x: Float[Array, "... I"]) -> Float[Array, "... O"]:
    y = product(x, params["kernel"].astype(x.dtype))
    return y + params["bias"].astype(x.dtype) if "bias" in params else y
