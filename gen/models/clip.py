"""CLIP (Radford et al. 2021, arXiv 2103.00020): a ViT and a causal text transformer into one embedding space.

z_i = normalise(P_i ViT(image)),  z_t = normalise(P_t Text(caption)),  logits = exp(logit_scale) z_i z_t^T

cfg = CLIPConfig(embed=512, image=VisionConfig(...), text=TextConfig(...))
image_BE = encode_image(params, pixels_BYXC, cfg)
text = encode_text(params, tokens_BT, cfg)          # text.embedding_BE, text.states_BTD
"""

import dataclasses
import math
from typing import Literal, NamedTuple

import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Bool, Float, Int

from gen import mesh, spec
from gen.bounds import Bounded, Count, Natural, OutOfBounds
from gen.nn.norms import layer_norm, norm_spec
from gen.nn.positions import learned_positions_spec
from gen.nn.transformer import (
    TransformerConfig,
    check_untabled,
    transformer,
    transformer_spec,
    unused_without_keys,
)
from gen.spec import Dtype, Params, Spec, Specs


@dataclasses.dataclass(frozen=True)
class VisionConfig(Bounded):
    """`resolution` and `patch` in pixels."""

    resolution: Count
    patch: Count
    transformer: TransformerConfig

    def __post_init__(self):
        super().__post_init__()
        if self.resolution % self.patch:
            raise OutOfBounds("patch", f"={self.patch} pixels must divide resolution={self.resolution}; change one")

    @property
    def num_patches(self) -> int:
        return (self.resolution // self.patch) ** 2


@dataclasses.dataclass(frozen=True)
class CLIPTextConfig(Bounded):
    """`context` tokens of a vocabulary of `vocab`; `end` is the id that ends a caption, None the largest (OpenAI's)."""

    vocab: Count
    context: Count
    transformer: TransformerConfig
    end: Natural | None = None


@dataclasses.dataclass(frozen=True)
class CLIPConfig(Bounded):
    """`embed` is the width of the shared space; `loss` "softmax" (CLIP) or "sigmoid" (SigLIP, which adds a bias)."""

    embed: Count
    image: VisionConfig
    text: CLIPTextConfig
    loss: Literal["softmax", "sigmoid"] = "softmax"
    dtype: Dtype = "float32"

    def __post_init__(self):
        super().__post_init__()
        check_untabled(self.image.transformer, "image.transformer")
        check_untabled(self.text.transformer, "text.transformer")

    def unused(self) -> dict[str, str]:
        parts = {"image.transformer": self.image.transformer, "text.transformer": self.text.transformer}
        return {key: why for where, cfg in parts.items() for key, why in unused_without_keys(cfg, where).items()}


class TextEncoding(NamedTuple):
    """A caption's embedding (not normalised), its tokens' states after the final norm, and which are not padding."""

    embedding_BE: Float[Array, "B E"]
    states_BTD: Float[Array, "B T D"]
    mask_BT: Bool[Array, "B T"]


def vision_spec(cfg: VisionConfig, embed: int) -> Specs:
    width = cfg.transformer.width
    fan_in = 3 * cfg.patch**2
    return {
        "patch": Spec((cfg.patch, cfg.patch, 3, width), (None, None, None, "embed"), spec.normal(fan_in**-0.5)),
        "class": Spec((width,), ("embed",), spec.normal(width**-0.5)),
        "positions": learned_positions_spec(cfg.num_patches + 1, width, width**-0.5),
        "pre_norm": norm_spec(width),
        "blocks": transformer_spec(cfg.transformer),
        "post_norm": norm_spec(width),
        "projection": Spec((width, embed), ("embed", "mlp"), spec.normal(width**-0.5)),
    }


def text_spec(cfg: CLIPTextConfig, embed: int) -> Specs:
    width = cfg.transformer.width
    return {
        "tokens": Spec((cfg.vocab, width), ("vocab", "embed"), spec.normal(0.02)),
        "positions": learned_positions_spec(cfg.context, width),
        "blocks": transformer_spec(cfg.transformer),
        "final_norm": norm_spec(width),
        "projection": Spec((width, embed), ("embed", "mlp"), spec.normal(width**-0.5)),
    }


def clip_spec(cfg: CLIPConfig) -> Specs:
    # SigLIP starts from a scale of 10 and a bias of -10 (arXiv 2303.15343), CLIP from a temperature of 0.07
    sigmoid = cfg.loss == "sigmoid"
    scale = math.log(10) if sigmoid else math.log(1 / 0.07)
    return {
        "image": vision_spec(cfg.image, cfg.embed),
        "text": text_spec(cfg.text, cfg.embed),
        "logit_scale": Spec((), (), spec.constant(scale)),
    } | ({"logit_bias": Spec((), (), spec.constant(-10.0))} if sigmoid else {})


def encode_image(params: Params, x_BYXC: Float[Array, "B Y X C"], cfg: CLIPConfig) -> Float[Array, "B E"]:
    """The embedding of an image in [-1, 1], not normalised, float32.

    Raises ValueError when the image is not of the resolution that the model was made for.
    """
    vision, dtype = cfg.image, jnp.dtype(cfg.dtype)
    if x_BYXC.shape[1:3] != (vision.resolution, vision.resolution):
        raise ValueError(f"CLIP takes {vision.resolution} x {vision.resolution} images, got {x_BYXC.shape[1:3]}")
    params = params["image"]
    patches_BTP = rearrange(x_BYXC, "b (y p) (x q) c -> b (y x) (p q c)", p=vision.patch, q=vision.patch)
    kernel_PD = rearrange(params["patch"], "p q c d -> (p q c) d")
    h_BTD = patches_BTP.astype(dtype) @ kernel_PD.astype(dtype)
    first_B1D = jnp.broadcast_to(params["class"].astype(dtype), (h_BTD.shape[0], 1, h_BTD.shape[-1]))
    h_BTD = jnp.concatenate([first_B1D, h_BTD], axis=1) + params["positions"].astype(dtype)
    h_BTD = mesh.shard(layer_norm(params["pre_norm"], h_BTD), "batch", None, None)
    h_BTD = transformer(params["blocks"], h_BTD, vision.transformer)
    pooled_BD = layer_norm(params["post_norm"], h_BTD[:, 0])
    return (pooled_BD @ params["projection"].astype(dtype)).astype(jnp.float32)


def encode_text(params: Params, tokens_BT: Int[Array, "B T"], cfg: CLIPConfig) -> TextEncoding:
    """A caption's feature is the state of its last token, which ends the text."""
    dtype = jnp.dtype(cfg.dtype)
    end_B = (tokens_BT if cfg.text.end is None else tokens_BT == cfg.text.end).argmax(-1)
    params = params["text"]
    h_BTD = (params["tokens"][tokens_BT] + params["positions"]).astype(dtype)
    h_BTD = transformer(params["blocks"], mesh.shard(h_BTD, "batch", "sequence", None), cfg.text.transformer)
    states_BTD = layer_norm(params["final_norm"], h_BTD)
    pooled_BD = jnp.take_along_axis(states_BTD, end_B[:, None, None], axis=1)[:, 0]
    embedding_BE = pooled_BD @ params["projection"].astype(dtype)
    mask_BT = jnp.arange(tokens_BT.shape[1]) <= end_B[:, None]
    return TextEncoding(embedding_BE.astype(jnp.float32), states_BTD.astype(jnp.float32), mask_BT)
