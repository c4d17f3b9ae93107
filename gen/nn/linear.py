"""y = x W + b."""

from jaxtyping import Array, Float

from gen import spec
from gen.spec import Params, Spec, Specs


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
    y = x @ params["kernel"].astype(x.dtype)
    return y + params["bias"].astype(x.dtype) if "bias" in params else y
