"""Projections of multi-head attention (Vaswani et al. 2017, arXiv 1706.03762), and how images attend to a context.

Heads are a dimension of the weights, (D, H, K), so that they can be cut over the `tensor` axis of a mesh. Queries may
have more heads than keys and values (grouped queries, Ainslie et al. 2023, arXiv 2305.13245; one head of keys: Shazeer
2019, arXiv 1911.02150).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gen import mesh, spec
from gen.nn.linear import linear
from gen.spec import Params, Spec, Specs


def projection_spec(width: int, heads: int, head_dim: int, stddev: float, *, bias: bool = True) -> Specs:
    """Tokens to heads: (D) -> (H, K). A single head is not cut."""
    cut = "heads" if heads > 1 else None
    kernel = Spec((width, heads, head_dim), ("embed", cut, None), spec.normal(stddev))
    return {"kernel": kernel} | ({"bias": Spec((heads, head_dim), (cut, None), spec.zeros)} if bias else {})


def project(params: Params, x_BTD: Float[Array, "B T D"]) -> Float[Array, "B T H K"]:
    y_BTHK = linear(params, x_BTD)
    return mesh.shard(y_BTHK, "batch", "sequence", "heads" if y_BTHK.shape[2] > 1 else None, None)


def output_spec(width: int, heads: int, head_dim: int, stddev: float, *, bias: bool = True) -> Specs:
    """Heads back to tokens: (H, K) -> (D)."""
    kernel = Spec((heads, head_dim, width), ("heads", None, "embed"), spec.normal(stddev))
    return {"kernel": kernel} | ({"bias": Spec((width,), ("embed",), spec.zeros)} if bias else {})


def output(params: Params, x_BTHK: Float[Array, "B T H K"]) -> Float[Array, "B T D"]:
    return mesh.shard(linear(params, x_BTHK, inputs=2), "batch", "sequence", None)


def attention_layer_spec(
    width: int,
    heads: int,
    *,
    kv_heads: int | None = None,
    head_dim: int | None = None,
    bias: bool = True,
    context: int | None = None,
    stddev: float | None = None,
    out_stddev: float | None = None,
) -> Specs:
    """Query, key, value and output projections.

    Standard deviations default to width ** -0.5, `head_dim` to width / heads.
    `context` is the width of tokens from elsewhere (a caption) that get keys and values of their own.
    Raises ValueError when the width does not divide into the heads, or the heads into those of the keys.
    """
    kv_heads = heads if kv_heads is None else kv_heads
    if head_dim is None and width % heads:
        raise ValueError(f"attention: width {width} is not divisible by {heads} heads")
    if heads % kv_heads:
        raise ValueError(f"attention: {heads} heads of queries do not divide into {kv_heads} of keys and values")
    head_dim = width // heads if head_dim is None else head_dim
    stddev = width**-0.5 if stddev is None else stddev
    specs: dict[str, Specs] = {"query": projection_spec(width, heads, head_dim, stddev, bias=bias)}
    for name in ("key", "value"):
        specs[name] = projection_spec(width, kv_heads, head_dim, stddev, bias=bias)
    if context is not None:
        for name in ("context_key", "context_value"):
            specs[name] = projection_spec(context, kv_heads, head_dim, context**-0.5, bias=bias)
    out_stddev = stddev if out_stddev is None else out_stddev
    return specs | {"out": output_spec(width, heads, head_dim, out_stddev, bias=bias)}


def attention_layer(
    params: Params,
    x_BTD: Float[Array, "B T D"],
    *,
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
    return output(params["out"], jax.nn.dot_product_attention(query, key, value, mask=mask))
