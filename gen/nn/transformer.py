"""A stack of transformer blocks, stored stacked and run by one `lax.scan`.

    x = x + attention(norm(x));  x = x + mlp(norm(x))          norm_order "pre"
    x = norm(x + attention(x));  x = norm(x + mlp(x))          "post"
    x = x + attention(norm(x)) + mlp(norm(x))                  "pre", parallel

The weights of all blocks share one tree with a leading `layers` axis, so the program, and the time to compile it, do
not grow with depth.

    cfg = TransformerConfig(width=512, layers=12, heads=8, causal=True)
    y_BTD = transformer(initialize(transformer_spec(cfg), key), x_BTD, cfg)
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from gen import spec
from gen.bounds import Bounded, Count, Dropout, NotNegative, OutOfBounds, Positive
from gen.nn.activations import Activation
from gen.nn.attention import Method, dot_product_attention
from gen.nn.attention_mask import NO_MASK, MaskConfig, MaskInputs
from gen.nn.dropout import dropout
from gen.nn.experts import MoEConfig, RouterLosses, experts, experts_spec
from gen.nn.linear import transpose_kernel
from gen.nn.mlp import mlp, mlp_spec
from gen.nn.norms import Norm, norm, norm_spec
from gen.nn.projections import attention_layer_spec, output, project
from gen.nn.relative import Relative
from gen.nn.rotary import Rotary, rotate
from gen.spec import Params, Specs

Remat = Literal["none", "dots", "full"]

# What the backward pass may keep: everything; the outputs of matrix products; nothing but each block's input.
REMAT_POLICIES = {
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}

# Queries, keys and values of a block to the values that its tokens gather, and whatever the caller wants to keep.
type AttentionFn = Callable[[Array, Array, Array], tuple[Array, Any]]


@dataclasses.dataclass(frozen=True)
class TransformerConfig(Bounded):
    """`kv_heads` are those of keys and values (by default `heads`; 1 is multi-query), `head_dim` their width (by
    default width / heads), `mlp` the hidden width of the MLP (by default 4 x width).

    `window` bounds how many tokens back attention reaches. `rotary` and `relative` are kinds of positions; learned ones
    are added before the first block, by the model. `experts` stand in for the MLP. `dropout` is of what each half of
    a block adds to the stream. `stddev` is that of every weight at the start, with the projections back to the
    stream smaller by sqrt(2 x layers); by default it follows the widths, as in CLIP.
    """

    width: Count
    layers: Count
    heads: Count
    kv_heads: Count | None = None
    head_dim: Count | None = None
    mlp: Count | None = None
    activation: Activation = "gelu"
    gated: bool = False
    norm: Norm = "layer"
    norm_order: Literal["pre", "post"] = "pre"
    eps: Positive = 1e-5
    attention_bias: bool = True
    mlp_bias: bool = True
    norm_bias: bool = True
    parallel: bool = False
    causal: bool = False
    window: Count | None = None
    rotary: Rotary | None = None
    relative: Relative | None = None
    experts: MoEConfig | None = None
    dropout: Dropout = 0.0
    stddev: NotNegative | None = None
    attention: Method = "auto"
    remat: Remat = "none"

    def __post_init__(self):
        super().__post_init__()
        if self.head_width < 1:
            raise OutOfBounds("heads", f"={self.heads} must be at most width={self.width}, or head_dim be set")
        if self.head_dim is None and self.width % self.heads:
            raise OutOfBounds("heads", f"={self.heads} must divide width={self.width}, or head_dim be set")
        if self.heads % self.groups:
            raise OutOfBounds("kv_heads", f"={self.groups} must divide heads={self.heads}")
        if self.rotary is not None and self.head_width % 2:
            raise OutOfBounds("rotary", f" turns pairs, but heads of {self.head_width} numbers are odd; set head_dim")
        if self.parallel and self.norm_order == "post":
            raise OutOfBounds("norm_order", "='post': parallel attention and MLP read one norm; set 'pre'")
        if self.experts is not None and self.mlp_bias:
            raise OutOfBounds("mlp_bias", "=True: experts have no biases; set it to False")

    @property
    def hidden(self) -> int:
        return 4 * self.width if self.mlp is None else self.mlp

    @property
    def groups(self) -> int:
        """Heads of keys and values."""
        return self.heads if self.kv_heads is None else self.kv_heads

    @property
    def head_width(self) -> int:
        return self.width // self.heads if self.head_dim is None else self.head_dim

    @property
    def rule(self) -> MaskConfig:
        return MaskConfig(self.causal, self.window, self.relative)


def unused_without_keys(cfg: TransformerConfig, where: str) -> dict[str, str]:
    """What `Bounded.unused` says of a stack that is run by `transformer`, which takes no keys."""
    return {f"{where}.dropout": "this transformer has no dropout"} if cfg.dropout else {}


def check_untabled(cfg: TransformerConfig, where: str) -> None:
    """Raises OutOfBounds for a stack without T5's table whose attention would read it."""
    if cfg.relative == "t5":
        raise OutOfBounds(f"{where}.relative", "='t5': only language models have T5's table; use 'alibi' or None")


class BlockOutputs(NamedTuple):
    """What the blocks give beside the stream, one of each for each layer: what `mix` kept, and the experts' balance."""

    cache: Any
    balance: RouterLosses | None


def norm_spec_for(cfg: TransformerConfig) -> Specs:
    """The Specs of one norm, of the kind that the blocks have."""
    return norm_spec(cfg.width, bias=cfg.norm_bias and cfg.norm == "layer")


def block_spec(cfg: TransformerConfig) -> Specs:
    # by default CLIP's initialisation (section 2.4 of its code): projections back to the stream shrink with depth
    stddev = cfg.width**-0.5 if cfg.stddev is None else cfg.stddev
    mlp_stddev = (2 * cfg.width) ** -0.5 if cfg.stddev is None else cfg.stddev
    out_stddev = stddev * (2 * cfg.layers) ** -0.5
    attention = attention_layer_spec(
        cfg.width,
        cfg.heads,
        kv_heads=cfg.kv_heads,
        head_dim=cfg.head_dim,
        bias=cfg.attention_bias,
        stddev=stddev,
        out_stddev=out_stddev,
    )
    spread = {"gated": cfg.gated, "stddev": mlp_stddev, "out_stddev": out_stddev}
    if cfg.experts is None:
        feed_forward = mlp_spec(cfg.width, cfg.hidden, bias=cfg.mlp_bias, **spread)
    else:
        feed_forward = experts_spec(cfg.width, cfg.hidden, cfg.experts, **spread)
    return {
        "attention_norm": norm_spec_for(cfg),
        "attention": attention,
        "mlp": feed_forward,
    } | ({} if cfg.parallel else {"mlp_norm": norm_spec_for(cfg)})


def block(
    params: Params,
    x_BTD: Float[Array, "B T D"],
    cfg: TransformerConfig,
    mix: AttentionFn,
    position_BT: Int[Array, "#B T"] | None = None,
    key_B: Key[Array, "B"] | None = None,
) -> tuple[Float[Array, "B T D"], BlockOutputs]:
    """`position_BT` turns rotary embeddings; by default 0, 1, ..."""

    def attention(h_BTD: Array) -> tuple[Array, Any]:
        query, key, value = (project(params["attention"][name], h_BTD) for name in ("query", "key", "value"))
        if cfg.rotary is not None:
            at_BT = jnp.arange(h_BTD.shape[1])[None] if position_BT is None else position_BT
            query, key = rotate(query, at_BT, cfg.rotary), rotate(key, at_BT, cfg.rotary)
        values_BTHK, kept = mix(query, key, value)
        return dropout(output(params["attention"]["out"], values_BTHK), cfg.dropout, key_B, "attention"), kept

    def feed_forward(h_BTD: Array) -> tuple[Array, RouterLosses | None]:
        if cfg.experts is None:
            h_BTD, balance = mlp(params["mlp"], h_BTD, cfg.activation), None
        else:
            h_BTD, balance = experts(params["mlp"], h_BTD, cfg.experts, cfg.activation)
        return dropout(h_BTD, cfg.dropout, key_B, "mlp"), balance

    def normed(name: str, h_BTD: Array) -> Array:
        return norm(params[name], h_BTD, cfg.norm, cfg.eps)

    pre = cfg.norm_order == "pre"
    with jax.named_scope("attention"):
        h_BTD = normed("attention_norm", x_BTD) if pre else x_BTD
        added, kept = attention(h_BTD)
        if not cfg.parallel:
            x_BTD = x_BTD + added if pre else normed("attention_norm", x_BTD + added)
            h_BTD = normed("mlp_norm", x_BTD) if pre else x_BTD
    with jax.named_scope("mlp"):
        more, balance = feed_forward(h_BTD)
        if cfg.parallel:
            more = added + more
        return (x_BTD + more if pre else normed("mlp_norm", x_BTD + more)), BlockOutputs(kept, balance)


def transpose_block_kernels(params: Params) -> Params:
    """One block's weights as decoding reads them. Experts keep their kernels."""
    own = {
        name: transpose_kernel(layer, inputs=2 if name == "out" else 1) for name, layer in params["attention"].items()
    }
    feed_forward = params["mlp"]
    if "router" not in feed_forward:
        feed_forward = {name: transpose_kernel(layer) for name, layer in feed_forward.items()}
    return {**params, "attention": own, "mlp": feed_forward}


def transformer_spec(cfg: TransformerConfig) -> Specs:
    return spec.stack(block_spec(cfg), cfg.layers)


def transformer(
    params: Params, x_BTD: Float[Array, "B T D"], cfg: TransformerConfig, where: MaskInputs = NO_MASK
) -> Float[Array, "B T D"]:
    """The stream after the last block; `where` says which tokens see which, on top of causality."""
    return apply_blocks(params, x_BTD, cfg, attention_fn_for(cfg, where))[0]


def attention_fn_for(
    cfg: TransformerConfig, where: MaskInputs = NO_MASK, table: Float[Array, "buckets H"] | None = None
) -> AttentionFn:
    """Attention among the tokens at hand; `table` holds T5's biases."""
    return lambda query, key, value: (
        dot_product_attention(query, key, value, cfg.rule, where, table, cfg.attention),
        None,
    )


def apply_blocks(
    params: Params,
    x_BTD: Float[Array, "B T D"],
    cfg: TransformerConfig,
    mix: AttentionFn,
    position_BT: Int[Array, "#B T"] | None = None,
    key_B: Key[Array, "B"] | None = None,
) -> tuple[Float[Array, "B T D"], BlockOutputs]:
    """The stream after the last block, and what the blocks give beside it, stacked. Keys mean dropout."""

    def step(x_BTD: Array, layer_and_number: tuple[Params, Array]):
        layer, number = layer_and_number
        own_B = None if key_B is None else jax.vmap(jax.random.fold_in, (0, None))(key_B, number)
        return block(layer, x_BTD, cfg, mix, position_BT, own_B)

    if cfg.remat != "none":
        step = jax.checkpoint(step, policy=REMAT_POLICIES[cfg.remat], prevent_cse=False)
    return jax.lax.scan(step, x_BTD, (params, jnp.arange(cfg.layers)))
