"""The ADM U-Net (Dhariwal & Nichol 2021, arXiv 2105.05233) with added caption keys (GLIDE, arXiv 2112.10741).

Resolution halves and doubles inside residual blocks; attention layers at the listed resolutions see the image's
positions and, before them, context tokens. Each decoder block reads the encoder's output of the same place.

    cfg = UNetConfig(channels=320, multipliers=(1, 2, 3, 4), blocks=3, resolution=64, attention=(32, 16, 8))
    y_BYXC = unet(params, x_BYXC, t_B, cfg, embedding_BD=z_BD, context_BSE=tokens_BSE)
"""

import dataclasses
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Bool, Float, Key, Num

from gen.bounds import Bounded, Count, Dropout, OutOfBounds
from gen.nn.conv import FIRST, LAST, conv, conv_spec
from gen.nn.norms import group_norm, norm_spec
from gen.nn.positions import timestep_embedding, timestep_spec
from gen.nn.projections import attention_layer, attention_layer_spec
from gen.nn.resnet import Resample, resnet, resnet_spec
from gen.spec import Dtype, Params, Specs


@dataclasses.dataclass(frozen=True)
class UNetConfig(Bounded):
    """`channels` times each multiplier is a level's width; `blocks` residual blocks a level going down, one more up.

    `attention` lists the resolutions with attention layers, `context` is the width of context tokens (None: there
    are none), `scale_shift` the way the time embedding enters, `middle_attention` whether the middle attends.
    """

    channels: Count
    multipliers: tuple[Count, ...]
    blocks: Count
    resolution: Count
    attention: tuple[Count, ...] = ()
    middle_attention: bool = True
    head_dim: Count = 64
    context: Count | None = None
    in_channels: Count = 3
    out_channels: Count = 3
    scale_shift: bool = True
    groups: Count = 32
    dropout: Dropout = 0.0
    dtype: Dtype = "float32"

    def __post_init__(self):
        super().__post_init__()
        if not self.multipliers:
            raise OutOfBounds("multipliers", "=() must name the width of at least one level")
        halvings = 2 ** (len(self.multipliers) - 1)
        if self.resolution % halvings:
            raise OutOfBounds("resolution", f"={self.resolution} must be divisible by {halvings}: its levels halve it")
        for width in (multiplier * self.channels for multiplier in self.multipliers):
            if width % self.groups:
                raise OutOfBounds("groups", f"={self.groups} do not divide the {width} channels of a level; change one")

    def unused(self) -> dict[str, str]:
        levels = [self.resolution >> level for level in range(len(self.multipliers))]
        attends = self.middle_attention or any(size in levels for size in self.attention)
        found = {}
        if absent := [size for size in self.attention if size not in levels]:
            found["attention"] = f"no level is of {absent[0]} pixels; there are {', '.join(map(str, levels))}"
        if self.context is not None and not attends:
            found["context"] = "no layer attends to the context; set attention or middle_attention"
        return found

    @property
    def embedding(self) -> int:
        """The width of the time embedding."""
        return 4 * self.channels

    @property
    def outer(self) -> int:
        """The width of the first and last layers."""
        return self.multipliers[0] * self.channels


@dataclasses.dataclass(frozen=True)
class UNetStage:
    """One residual block, perhaps followed by attention."""

    name: str
    c_in: int
    c_out: int
    resample: Resample = "none"
    attend: bool = False
    joins: bool = False  # reads a skip connection first


def stages(cfg: UNetConfig) -> Iterator[UNetStage]:
    """The network in order. Specs and forward pass both walk this one table."""
    width, skips = cfg.outer, [cfg.outer]
    last = len(cfg.multipliers) - 1
    for level, multiplier in enumerate(cfg.multipliers):
        attend = cfg.resolution >> level in cfg.attention
        for i in range(cfg.blocks):
            c_out = multiplier * cfg.channels
            yield UNetStage(f"down{level}_{i}", width, c_out, attend=attend)
            width = c_out
            skips.append(width)
        if level < last:
            yield UNetStage(f"down{level}", width, width, "down")
            skips.append(width)
    yield UNetStage("middle_0", width, width, attend=cfg.middle_attention)
    yield UNetStage("middle_1", width, width)
    for level, multiplier in reversed(list(enumerate(cfg.multipliers))):
        attend = cfg.resolution >> level in cfg.attention
        for i in range(cfg.blocks + 1):
            c_out = multiplier * cfg.channels
            yield UNetStage(f"up{level}_{i}", width + skips.pop(), c_out, attend=attend, joins=True)
            width = c_out
        if level > 0:
            yield UNetStage(f"up{level}", width, width, "up")


def image_attention_spec(channels: int, cfg: UNetConfig) -> Specs:
    heads, context = max(1, channels // cfg.head_dim), cfg.context
    return {
        "norm": norm_spec(channels),
        "attention": attention_layer_spec(channels, heads, context=context, out_stddev=0.0),
    }


def image_attention(
    params: Params,
    x_BYXC: Float[Array, "B Y X C"],
    context_BSE: Float[Array, "B S E"] | None,
    context_mask_BS: Bool[Array, "B S"] | None,
    cfg: UNetConfig,
) -> Float[Array, "B Y X C"]:
    """Attention among an image's positions and context tokens, added to the image."""
    rows, columns = x_BYXC.shape[1:3]
    h_BTC = rearrange(group_norm(params["norm"], x_BYXC, cfg.groups), "b y x c -> b (y x) c")
    mask = None
    if context_mask_BS is not None:
        everywhere = jnp.ones((x_BYXC.shape[0], rows * columns), bool)
        mask = jnp.concatenate([context_mask_BS, everywhere], axis=1)[:, None, None]
    h_BTC = attention_layer(params["attention"], h_BTC, mask=mask, context_BSE=context_BSE)
    return x_BYXC + rearrange(h_BTC, "b (y x) c -> b y x c", y=rows)


def unet_spec(cfg: UNetConfig) -> Specs:
    specs: dict[str, Specs] = {
        "time": timestep_spec(cfg.channels, cfg.embedding),
        "in": conv_spec(cfg.in_channels, cfg.outer, axes=FIRST),
    }
    for stage in stages(cfg):
        specs[stage.name] = {
            "resnet": resnet_spec(stage.c_in, stage.c_out, cfg.embedding, scale_shift=cfg.scale_shift)
        } | ({"attention": image_attention_spec(stage.c_out, cfg)} if stage.attend else {})
    specs["out_norm"] = norm_spec(cfg.outer)
    specs["out"] = conv_spec(cfg.outer, cfg.out_channels, axes=LAST, stddev=0.0)
    return specs


def unet(
    params: Params,
    x_BYXC: Float[Array, "B Y X I"],
    t_B: Num[Array, "B"],
    cfg: UNetConfig,
    *,
    embedding_BD: Float[Array, "B D"] | None = None,
    context_BSE: Float[Array, "B S E"] | None = None,
    context_mask_BS: Bool[Array, "B S"] | None = None,
    key_B: Key[Array, "B"] | None = None,
) -> Float[Array, "B Y X O"]:
    """`embedding_BD` joins the time embedding; `key_B` (training only) draws dropout. The result is float32."""
    dtype = jnp.dtype(cfg.dtype)
    time_BD = timestep_embedding(params["time"], t_B, cfg.channels, dtype)
    if embedding_BD is not None:
        time_BD = time_BD + embedding_BD.astype(dtype)
    context_BSE = None if context_BSE is None else context_BSE.astype(dtype)

    h = conv(params["in"], x_BYXC.astype(dtype), axes=FIRST)
    skips = [h]
    for stage in stages(cfg):
        with jax.named_scope(stage.name):
            if stage.joins:
                h = jnp.concatenate([h, skips.pop()], axis=-1)
            h = resnet(
                params[stage.name]["resnet"],
                h,
                time_BD,
                groups=cfg.groups,
                scale_shift=cfg.scale_shift,
                resample=stage.resample,
                dropout_rate=cfg.dropout,
                key_B=key_B,
                name=stage.name,
            )
            if stage.attend:
                h = image_attention(params[stage.name]["attention"], h, context_BSE, context_mask_BS, cfg)
            if stage.name.startswith("down"):
                skips.append(h)
    h = jax.nn.silu(group_norm(params["out_norm"], h, cfg.groups))
    return conv(params["out"], h, axes=LAST).astype(jnp.float32)
