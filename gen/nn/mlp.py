"""The two-layer perceptron of a transformer block, plain or gated (Shazeer 2020, arXiv 2002.05202).

plain    y = act(x W_in) W_out
gated    y = (act(x W_gate) * x W_in) W_out          SwiGLU with silu, GEGLU with gelu
"""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

from gen import mesh
from gen.nn.activations import Activation, activate
from gen.nn.linear import linear, linear_spec
from gen.spec import Params, Specs


def mlp_spec(
    width: int,
    hidden: int,
    *,
    gated: bool = False,
    bias: bool = True,
    stddev: float | None = None,
    out_stddev: float | None = None,
) -> Specs:
    into = linear_spec(width, hidden, ("embed", "mlp"), bias=bias, stddev=stddev)
    return {
        "in": into,
        "out": linear_spec(hidden, width, ("mlp", "embed"), bias=bias, stddev=out_stddev),
    } | ({"gate": into} if gated else {})


def mlp(params: Params, x_BTD: Float[Array, "B T D"], activation: Activation) -> Float[Array, "B T D"]:
    h_BTF = mesh.shard(linear(params["in"], x_BTD), "batch", "sequence", "mlp")
    gate_BTF = None
    if "gate" in params:
        gate_BTF = mesh.shard(linear(params["gate"], x_BTD), "batch", "sequence", "mlp")
    y_BTD = activate_and_project(lambda h_BTF: linear(params["out"], h_BTF), activation, h_BTF, gate_BTF)
    return mesh.shard(y_BTD, "batch", "sequence", None)


def activate_and_project(out: Callable[[Array], Array], activation: Activation, h: Array, gate: Array | None) -> Array:
    """act(h) or act(gate) h, led back `out`. The backward pass activates again: autodiff would keep four more arrays as
    wide as h."""
    again = jax.checkpoint(lambda h, gate: out(activate(activation, h, gate)), prevent_cse=False)
    return again(h, gate)
