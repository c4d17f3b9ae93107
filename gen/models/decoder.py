"""The diffusion decoder of unCLIP (arXiv 2204.06125, section 2.1): CLIP image embedding to picture.

The image embedding enters twice, added to the time embedding and as `tokens` extra context tokens; the caption enters
as the context tokens after those, either through a transformer of the decoder's own (the paper, after GLIDE) or as
projected states of CLIP's text tower (Karlo). For guidance either may be dropped, example by example.

    eps_and_variance_BYXC = decoder(params, x_BYXC, t_B, encode(params, condition, cfg), cfg)
"""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, Num

from gen import mesh, spec
from gen.bounds import Bounded, Count
from gen.models.unet import UNetConfig, unet, unet_spec
from gen.nn.linear import linear, linear_spec
from gen.nn.norms import layer_norm, norm_spec
from gen.nn.positions import learned_positions_spec
from gen.nn.transformer import (
    TransformerConfig,
    check_untabled,
    transformer,
    transformer_spec,
    unused_without_keys,
)
from gen.spec import Params, Spec, Specs


@dataclasses.dataclass(frozen=True)
class CaptionConfig(Bounded):
    """The decoder's own text transformer: `context` tokens of a vocabulary of `vocab`."""

    vocab: Count
    context: Count
    transformer: TransformerConfig

    def __post_init__(self):
        super().__post_init__()
        check_untabled(self.transformer, "transformer")

    def unused(self) -> dict[str, str]:
        return unused_without_keys(self.transformer, "transformer")


@dataclasses.dataclass(frozen=True)
class DecoderConfig(Bounded):
    """`embed` is the width of CLIP's space and `tokens` the number of context tokens made of an image embedding.

    Captions: `caption` (own transformer), or `states`, the width of CLIP's text states, in which case CLIP's text
    embedding joins the time embedding too. One of the two is set.
    """

    unet: UNetConfig
    embed: Count
    tokens: Count = 4
    caption: CaptionConfig | None = None
    states: Count | None = None

    def __post_init__(self):
        super().__post_init__()
        if (self.caption is None) == (self.states is None):
            raise ValueError("the decoder reads captions with model.caption or as CLIP states (model.states): set one")
        if self.unet.context is None:
            raise ValueError("the decoder needs model.unet.context, the width of its context tokens")


class Condition(NamedTuple):
    """What a picture is made from.

    `keep_*` are false where the image embedding or the caption is dropped: the embedding becomes a learned vector,
    the caption is replaced by the caller with the empty one.
    """

    image_BE: Float[Array, "B E"]
    keep_image_B: Bool[Array, "B"]
    caption: Int[Array, "B T"] | Float[Array, "B T W"]  # token ids, or CLIP text states
    mask_BT: Bool[Array, "B T"]
    text_BE: Float[Array, "B E"] | None = None  # CLIP text embedding, with `states`


def decoder_spec(cfg: DecoderConfig) -> Specs:
    return {"unet": unet_spec(cfg.unet), "condition": condition_spec(cfg)}


def condition_spec(cfg: DecoderConfig) -> Specs:
    width, time = cfg.unet.context or 0, cfg.unet.embedding
    specs: dict[str, Spec | Specs] = {
        "null_image": Spec((cfg.embed,), (None,), spec.zeros),
        "image_time": linear_spec(cfg.embed, time, (None, "embed")),
        # (E, tokens * width), read as (width, tokens): Karlo's order
        "image_tokens": linear_spec(cfg.embed, cfg.tokens * width, (None, "embed")),
    }
    if cfg.caption is None:
        return specs | {
            "text_time": linear_spec(cfg.embed, time, (None, "embed")),
            "caption": linear_spec(cfg.states or 0, width, (None, "embed")),
            "caption_norm": norm_spec(width),
        }
    own = cfg.caption.transformer.width
    return specs | {
        "tokens": Spec((cfg.caption.vocab, own), ("vocab", "embed"), spec.normal(0.02)),
        "positions": learned_positions_spec(cfg.caption.context, own),
        "padding": learned_positions_spec(cfg.caption.context, own),
        "blocks": transformer_spec(cfg.caption.transformer),
        "final_norm": norm_spec(own),
        "caption_time": linear_spec(own, time, ("embed", None)),
        "caption": linear_spec(own, width, ("embed", None)),
    }


class UNetContext(NamedTuple):
    """What the U-Net sees of the condition."""

    embedding_BD: Float[Array, "B D"]
    tokens_BSW: Float[Array, "B S W"]
    mask_BS: Bool[Array, "B S"]


def encode(params: Params, condition: Condition, cfg: DecoderConfig) -> UNetContext:
    """Image embedding and caption as the U-Net takes them: an embedding and context tokens, image tokens first."""
    params, dtype = params["condition"], jnp.dtype(cfg.unet.dtype)
    image_BE = jnp.where(condition.keep_image_B[:, None], condition.image_BE, params["null_image"]).astype(dtype)
    embedding_BD = linear(params["image_time"], image_BE)
    image_BSW = linear(params["image_tokens"], image_BE).reshape(image_BE.shape[0], -1, cfg.tokens).swapaxes(1, 2)
    if cfg.caption is None:
        assert condition.text_BE is not None, "a decoder of CLIP text states needs the caption's embedding"
        embedding_BD = embedding_BD + linear(params["text_time"], condition.text_BE.astype(dtype))
        caption_BTW = layer_norm(params["caption_norm"], linear(params["caption"], condition.caption.astype(dtype)))
        mask_BT = condition.mask_BT
    else:
        pooled_BW, states_BTW = read_caption(params, condition, cfg.caption, dtype)
        embedding_BD = embedding_BD + linear(params["caption_time"], pooled_BW)
        caption_BTW = linear(params["caption"], states_BTW)
        mask_BT = jnp.ones_like(condition.mask_BT)  # padding has an embedding of its own, as in GLIDE
    always_BS = jnp.ones(image_BSW.shape[:2], bool)
    return UNetContext(
        embedding_BD,
        jnp.concatenate([image_BSW, caption_BTW], axis=1),
        jnp.concatenate([always_BS, mask_BT], axis=1),
    )


def read_caption(
    params: Params, condition: Condition, cfg: CaptionConfig, dtype: jnp.dtype
) -> tuple[Float[Array, "B W"], Float[Array, "B T W"]]:
    """GLIDE's caption transformer: the last position's state, and every position's."""
    h_BTW = (params["tokens"][condition.caption] + params["positions"]).astype(dtype)
    h_BTW = jnp.where(condition.mask_BT[..., None], h_BTW, params["padding"].astype(dtype))
    h_BTW = transformer(params["blocks"], mesh.shard(h_BTW, "batch", None, None), cfg.transformer)
    states_BTW = layer_norm(params["final_norm"], h_BTW)
    return states_BTW[:, -1], states_BTW


def decoder(
    params: Params,
    x_BYXC: Float[Array, "B Y X C"],
    t_B: Num[Array, "B"],
    context: UNetContext,
    cfg: DecoderConfig,
    key_B: Key[Array, "B"] | None = None,
) -> Float[Array, "B Y X O"]:
    """Noise and variance channels for a noised image in [-1, 1]; the context comes from `encode`, once a picture."""
    return unet(
        params["unet"],
        x_BYXC,
        t_B,
        cfg.unet,
        embedding_BD=context.embedding_BD,
        context_BSE=context.tokens_BSW,
        context_mask_BS=context.mask_BS,
        key_B=key_B,
    )
