"""Multi-head attention: softmax(Q K^T / sqrt(K)) V (Vaswani et al. 2017, arXiv 1706.03762).

Heads are a dimension of the weights, (D, H, K), so that they can be cut over the `tensor` axis of a mesh.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gen import mesh, spec
from gen.spec import Params, Spec, Specs


def projection_spec(width: int, heads: int, head_dim: int, stddev: float) -> Specs:
    """Tokens to heads: (D) -> (H, K)."""
    return {
        "kernel": Spec((width, heads, head_dim), ("embed", "heads", None), spec.normal(stddev)),
        "bias": Spec((heads, head_dim), ("heads", None), spec.zeros),
    }


def project(params: Params, x_BTD: Float[Array, "B T D"]) -> Float[Array, "B T H K"]:
    y_BTHK = jnp.einsum("btd,dhk->bthk", x_BTD, params["kernel"].astype(x_BTD.dtype))
    return mesh.shard(y_BTHK + params["bias"].astype(x_BTD.dtype), "batch", "sequence", "heads", None)


def output_spec(width: int, heads: int, head_dim: int, stddev: float) -> Specs:
    """Heads back to tokens: (H, K) -> (D)."""
    return {
        "kernel": Spec((heads, head_dim, width), ("heads", None, "embed"), spec.normal(stddev)),
        "bias": Spec((width,), ("embed",), spec.zeros),
    }


def output(params: Params, x_BTHK: Float[Array, "B T H K"]) -> Float[Array, "B T D"]:
    y_BTD = jnp.einsum("bthk,hkd->btd", x_BTHK, params["kernel"].astype(x_BTHK.dtype))
    return mesh.shard(y_BTD + params["bias"].astype(x_BTHK.dtype), "batch", "sequence", None)


def attention_spec(
    width: int,
    heads: int,
    *,
    context: int | None = None,
    stddev: float | None = None,
    out_stddev: float | None = None,
) -> Specs:
    """Query, key, value and output projections with biases; standard deviations default to width ** -0.5.

    `context` is the width of tokens from elsewhere (a caption) that get keys and values of their own.
    Raises ValueError when the width does not divide into the heads.
    """
    head_dim = width // heads
    if head_dim * heads != width:
        raise ValueError(f"attention: width {width} is not divisible by {heads} heads")
    stddev = width**-0.5 if stddev is None else stddev
    specs: dict[str, Specs] = {
        name: projection_spec(width, heads, head_dim, stddev) for name in ("query", "key", "value")
    }
    if context is not None:
        for name in ("context_key", "context_value"):
            specs[name] = projection_spec(context, heads, head_dim, context**-0.5)
    return specs | {"out": output_spec(width, heads, head_dim, stddev if out_stddev is None else out_stddev)}


def attention(
    params: Params,
    x_BTD: Float[Array, "B T D"],
    *,
    causal: bool = False,
    mask: Bool[Array, "#B 1 #T S"] | None = None,
    context_BSE: Float[Array, "B N E"] | None = None,
) -> Float[Array, "B T D"]:
    """Self-attention, with the context's keys before the tokens' own (GLIDE's added keys and values).

    `mask` is true where a query (third axis) may see a key (fourth axis: context, then tokens).
    """
    query, key, value = (project(params[name], x_BTD) for name in ("query", "key", "value"))
    if context_BSE is not None:
        key = jnp.concatenate([project(params["context_key"], context_BSE), key], axis=1)
        value = jnp.concatenate([project(params["context_value"], context_BSE), value], axis=1)
    return output(params["out"], jax.nn.dot_product_attention(query, key, value, mask=mask, is_causal=causal))
