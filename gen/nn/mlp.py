"""The two-layer perceptron of a transformer block, plain or gated (Shazeer 2020, arXiv 2002.05202).

plain    y = act(x W_in) W_out
gated    y = (act(x W_gate) * x W_in) W_out          SwiGLU with silu, GEGLU with gelu
"""

from jaxtyping import Array, Float

from gen import mesh
from gen.nn.activations import ACTIVATIONS, Activation
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
    act = ACTIVATIONS[activation]
    h_BTF = mesh.shard(linear(params["in"], x_BTD), "batch", "sequence", "mlp")
    if "gate" in params:
        h_BTF = act(mesh.shard(linear(params["gate"], x_BTD), "batch", "sequence", "mlp")) * h_BTF
    else:
        h_BTF = act(h_BTF)
    return mesh.shard(linear(params["out"], h_BTF), "batch", "sequence", None)
