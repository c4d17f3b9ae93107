"""A stack of pre-norm transformer blocks, stored stacked and run by one `lax.scan`.

    x = x + attention(norm(x));  x = x + mlp(norm(x))

The weights of all blocks share one tree with a leading `layers` axis, so the program, and the time to compile it, do
not grow with depth.

    cfg = TransformerConfig(width=512, layers=12, heads=8, causal=True)
    y_BTD = transformer(initialize(transformer_spec(cfg), key), x_BTD, cfg)
"""

import dataclasses
from typing import Literal

import jax
from jaxtyping import Array, Bool, Float

from gen import spec
from gen.nn.activations import Activation
from gen.nn.attention import attention, attention_spec
from gen.nn.mlp import mlp, mlp_spec
from gen.nn.norms import layer_norm, norm_spec
from gen.spec import Params, Specs

Remat = Literal["none", "dots", "full"]

# What the backward pass may keep: everything; the outputs of matrix products; nothing but each block's input.
REMAT_POLICIES = {
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    """`mlp` is the hidden width of the MLP, by default 4 x width."""

    width: int
    layers: int
    heads: int
    mlp: int | None = None
    activation: Activation = "gelu"
    causal: bool = False
    remat: Remat = "none"

    @property
    def hidden(self) -> int:
        return 4 * self.width if self.mlp is None else self.mlp


def block_spec(cfg: TransformerConfig) -> Specs:
    # CLIP's initialisation (section 2.4 of its code): projections back to the stream shrink with depth
    stddev, out_stddev = cfg.width**-0.5, cfg.width**-0.5 * (2 * cfg.layers) ** -0.5
    return {
        "attention_norm": norm_spec(cfg.width),
        "attention": attention_spec(cfg.width, cfg.heads, stddev=stddev, out_stddev=out_stddev),
        "mlp_norm": norm_spec(cfg.width),
        "mlp": mlp_spec(cfg.width, cfg.hidden, stddev=(2 * cfg.width) ** -0.5, out_stddev=out_stddev),
    }


def block(
    params: Params, x_BTD: Float[Array, "B T D"], cfg: TransformerConfig, mask: Bool[Array, "#B 1 #T T"] | None
) -> Float[Array, "B T D"]:
    with jax.named_scope("attention"):
        h_BTD = layer_norm(params["attention_norm"], x_BTD)
        x_BTD = x_BTD + attention(params["attention"], h_BTD, causal=cfg.causal, mask=mask)
    with jax.named_scope("mlp"):
        return x_BTD + mlp(params["mlp"], layer_norm(params["mlp_norm"], x_BTD), cfg.activation)


def transformer_spec(cfg: TransformerConfig) -> Specs:
    return spec.stack(block_spec(cfg), cfg.layers)


def transformer(
    params: Params,
    x_BTD: Float[Array, "B T D"],
    cfg: TransformerConfig,
    mask: Bool[Array, "#B 1 #T T"] | None = None,
) -> Float[Array, "B T D"]:
    """`mask` is true where a query may see a key, on top of causality."""

    def step(x_BTD, layer):
        return block(layer, x_BTD, cfg, mask), None

    if cfg.remat != "none":
        step = jax.checkpoint(step, policy=REMAT_POLICIES[cfg.remat], prevent_cse=False)
    return jax.lax.scan(step, x_BTD, params)[0]
