"""The diffusion prior of unCLIP (Ramesh et al. 2022, arXiv 2204.06125, section 2.2): caption to image embedding.

A causal transformer reads one sequence and its last position's output is the clean image embedding:

    [caption tokens ..., caption embedding, timestep, noised image embedding, learned query] -> x0

    z0_BE = prior(params, z_BE, t_B, caption, cfg)
"""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num

from gen import mesh, spec
from gen.bounds import Bounded, Count
from gen.nn.attention_mask import MaskInputs
from gen.nn.linear import linear, linear_spec
from gen.nn.norms import layer_norm, norm_spec
from gen.nn.positions import learned_positions_spec, timestep_embedding, timestep_spec
from gen.nn.transformer import (
    TransformerConfig,
    check_untabled,
    transformer,
    transformer_spec,
    unused_without_keys,
)
from gen.spec import Dtype, Params, Spec, Specs


@dataclasses.dataclass(frozen=True)
class PriorConfig(Bounded):
    """`embed` is the width of CLIP's space, `context` the caption's length in tokens.

    The caption enters as the states of CLIP's text tower, of width `states`, or, as in the paper, as tokens of a
    vocabulary of `vocab` that the prior embeds itself; exactly one of the two is set.
    """

    embed: Count
    context: Count
    transformer: TransformerConfig
    states: Count | None = None
    vocab: Count | None = None
    dtype: Dtype = "float32"

    def __post_init__(self):
        super().__post_init__()
        if (self.states is None) == (self.vocab is None):
            raise ValueError("the prior reads captions as CLIP text states (model.states) or as tokens (model.vocab)")
        check_untabled(self.transformer, "transformer")

    def unused(self) -> dict[str, str]:
        return unused_without_keys(self.transformer, "transformer")


class CaptionEncoding(NamedTuple):
    """A caption as the prior sees it: CLIP's text embedding, its tokens (ids or states), and which are not padding."""

    embedding_BE: Float[Array, "B E"]
    tokens: Int[Array, "B T"] | Float[Array, "B T W"]
    mask_BT: Bool[Array, "B T"]


def prior_spec(cfg: PriorConfig) -> Specs:
    width = cfg.transformer.width
    if cfg.vocab is not None:
        tokens: Specs | Spec = Spec((cfg.vocab, width), ("vocab", "embed"), spec.normal(0.02))
    else:
        tokens = linear_spec(cfg.states or width, width, (None, "embed"))
    return {
        "tokens": tokens,
        "text": linear_spec(cfg.embed, width, (None, "embed")),
        "time": timestep_spec(width, width),
        "image": linear_spec(cfg.embed, width, (None, "embed")),
        "query": Spec((width,), ("embed",), spec.normal(0.02)),
        "positions": learned_positions_spec(cfg.context + 4, width),
        "blocks": transformer_spec(cfg.transformer),
        "norm": norm_spec(width),
        "out": linear_spec(width, cfg.embed, ("embed", None)),
    }


def prior(
    params: Params, z_BE: Float[Array, "B E"], t_B: Num[Array, "B"], caption: CaptionEncoding, cfg: PriorConfig
) -> Float[Array, "B E"]:
    """Predicts the clean image embedding (in the scaled space of diffusion) from a noised one; float32."""
    width, dtype = cfg.transformer.width, jnp.dtype(cfg.dtype)
    if cfg.vocab is not None:
        tokens_BTD = params["tokens"][caption.tokens].astype(dtype)
    else:
        tokens_BTD = linear(params["tokens"], caption.tokens.astype(dtype))
    query_BD = jnp.broadcast_to(params["query"].astype(dtype), (z_BE.shape[0], width))
    single = [
        linear(params["text"], caption.embedding_BE.astype(dtype)),
        timestep_embedding(params["time"], t_B, width, dtype),
        linear(params["image"], z_BE.astype(dtype)),
        query_BD,
    ]
    h_BTD = jnp.concatenate([tokens_BTD, jnp.stack(single, axis=1)], axis=1) + params["positions"].astype(dtype)
    visible_BT = jnp.concatenate([caption.mask_BT, jnp.ones((z_BE.shape[0], 4), bool)], axis=1)
    h_BTD = mesh.shard(h_BTD, "batch", None, None)
    seen = MaskInputs(query_BT=jnp.ones((1, h_BTD.shape[1]), jnp.int32), key_BS=visible_BT.astype(jnp.int32))
    h_BTD = transformer(params["blocks"], h_BTD, cfg.transformer, seen)
    return linear(params["out"], layer_norm(params["norm"], h_BTD[:, -1])).astype(jnp.float32)
