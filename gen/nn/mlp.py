"""The two-layer perceptron of a transformer block."""

from jaxtyping import Array, Float

from gen import mesh
from gen.nn.activations import ACTIVATIONS, Activation
from gen.nn.linear import linear, linear_spec
from gen.spec import Params, Specs


def mlp_spec(width: int, hidden: int, *, stddev: float | None = None, out_stddev: float | None = None) -> Specs:
    return {
        "in": linear_spec(width, hidden, ("embed", "mlp"), stddev=stddev),
        "out": linear_spec(hidden, width, ("mlp", "embed"), stddev=out_stddev),
    }


def mlp(params: Params, x_BTD: Float[Array, "B T D"], activation: Activation) -> Float[Array, "B T D"]:
    h_BTF = mesh.shard(linear(params["in"], x_BTD), "batch", "sequence", "mlp")
    return mesh.shard(linear(params["out"], ACTIVATIONS[activation](h_BTF)), "batch", "sequence", None)
