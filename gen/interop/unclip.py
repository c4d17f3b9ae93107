"""unCLIP's weights by the names of diffusers: PriorTransformer, UNet2DConditionModel, UnCLIPTextProjModel, UNet2DModel.

These are the parts of Karlo (kakaobrain/karlo-v1-alpha), which diffusers' UnCLIPPipeline keeps in folders of their own.

    params, statistics = prior_from_diffusers(state, cfg, "prior")
    params = decoder_from_diffusers(unet_state, text_proj_state, cfg, "decoder")
    params = unet_from_diffusers(state, cfg, "super_res_first")
"""

import re

from gen.interop import names
from gen.interop.names import CONV, FROM_HEADS, LINEAR, NORM, TO_HEADS, NameRule, State, at
from gen.models.decoder import DecoderConfig, condition_spec
from gen.models.embedding import statistics_spec
from gen.models.prior import PriorConfig, prior_spec
from gen.models.unet import UNetConfig, UNetStage, stages, unet_spec
from gen.spec import Params, Specs

TIME = (
    *at("in", "linear_1", LINEAR),
    *at("out", "linear_2", LINEAR),
)

NETWORK = (
    *at("tokens", "encoder_hidden_states_proj", LINEAR),
    *at("text", "embedding_proj", LINEAR),
    *at("time", "time_embedding", TIME),
    *at("image", "proj_in", LINEAR),
    NameRule("query", "prd_embedding", "1 1 d -> d"),
    NameRule("positions", "positional_embedding", "1 t d -> t d"),
    *at("blocks/attention_norm", "transformer_blocks.{layer}.norm1", NORM),
    *at("blocks/attention/query", "transformer_blocks.{layer}.attn1.to_q", TO_HEADS),
    *at("blocks/attention/key", "transformer_blocks.{layer}.attn1.to_k", TO_HEADS),
    *at("blocks/attention/value", "transformer_blocks.{layer}.attn1.to_v", TO_HEADS),
    *at("blocks/attention/out", "transformer_blocks.{layer}.attn1.to_out.0", FROM_HEADS),
    *at("blocks/mlp_norm", "transformer_blocks.{layer}.norm3", NORM),
    *at("blocks/mlp/in", "transformer_blocks.{layer}.ff.net.0.proj", LINEAR),
    *at("blocks/mlp/out", "transformer_blocks.{layer}.ff.net.2", LINEAR),
    *at("norm", "norm_out", NORM),
    *at("out", "proj_to_clip_embeddings", LINEAR),
)

PRIOR = (
    *(rule._replace(path=f"prior/{rule.path}") for rule in NETWORK),
    NameRule("statistics/mean", "clip_mean", "1 e -> e"),
    NameRule("statistics/deviation", "clip_std", "1 e -> e"),
)

TEXT_PROJ = (
    NameRule("null_image", "learned_classifier_free_guidance_embeddings", "e -> e"),
    *at("image_time", "clip_image_embeddings_project_to_time_embeddings", LINEAR),
    *at("image_tokens", "clip_extra_context_tokens_proj", LINEAR),
    *at("text_time", "embedding_proj", LINEAR),
    *at("caption", "encoder_hidden_states_proj", LINEAR),
    *at("caption_norm", "text_encoder_hidden_states_norm", NORM),
)

RESNET = (
    *at("norm1", "norm1", NORM),
    *at("conv1", "conv1", CONV),
    *at("embedding", "time_emb_proj", LINEAR),
    *at("norm2", "norm2", NORM),
    *at("conv2", "conv2", CONV),
    *at("skip", "conv_shortcut", CONV),
)

ATTENTION = (
    *at("norm", "group_norm", NORM),
    *at("attention/query", "to_q", TO_HEADS),
    *at("attention/key", "to_k", TO_HEADS),
    *at("attention/value", "to_v", TO_HEADS),
    *at("attention/context_key", "add_k_proj", TO_HEADS),
    *at("attention/context_value", "add_v_proj", TO_HEADS),
    *at("attention/out", "to_out.0", FROM_HEADS),
)


def unet_table(cfg: UNetConfig) -> list[NameRule]:
    """The table of a U-Net, stage by stage: how many there are depends on its config."""
    table = [*at("time", "time_embedding", TIME), *at("in", "conv_in", CONV)]
    for stage in stages(cfg):
        resnet, attention = peer_names(stage, len(cfg.multipliers))
        table += at(f"{stage.name}/resnet", resnet, RESNET)
        if stage.attend:
            table += at(f"{stage.name}/attention", attention, ATTENTION)
    return [*table, *at("out_norm", "conv_norm_out", NORM), *at("out", "conv_out", CONV)]


def peer_names(stage: UNetStage, levels: int) -> tuple[str, str]:
    """Where diffusers keeps a stage's residual block and its attention; its decoder counts levels from the deepest."""
    part, level, i = re.findall(r"(down|middle|up)(\d*)_?(\d*)", stage.name)[0]
    if part == "middle":
        block = "mid_block"
    else:
        block = f"{part}_blocks.{int(level) if part == 'down' else levels - 1 - int(level)}"
    resnet = f"{block}.resnets.{i}" if stage.resample == "none" else f"{block}.{stage.resample}samplers.0"
    return resnet, f"{block}.attentions.{i}"


def unet_from_diffusers(state: State, cfg: UNetConfig, where: str) -> Params:
    """A U-Net's parameters from a UNet2DModel's or UNet2DConditionModel's state dict.

    Raises ValueError naming what is missing, unknown or of another shape; `where` says whose weights they are.
    """
    return names.from_peer(unet_table(cfg), unet_spec(cfg), state, where)


def unet_to_diffusers(params: Params, cfg: UNetConfig) -> State:
    return names.to_peer(unet_table(cfg), params)


def decoder_from_diffusers(unet: State, text_proj: State, cfg: DecoderConfig, where: str) -> Params:
    """A decoder's parameters from its U-Net's state dict and its UnCLIPTextProjModel's; raises ValueError as above."""
    return {
        "unet": unet_from_diffusers(unet, cfg.unet, f"{where}, decoder"),
        "condition": names.from_peer(TEXT_PROJ, condition_spec(cfg), text_proj, f"{where}, text_proj"),
    }


def decoder_to_diffusers(params: Params, cfg: DecoderConfig) -> tuple[State, State]:
    """The state dicts of the U-Net and of the UnCLIPTextProjModel."""
    return unet_to_diffusers(params["unet"], cfg.unet), names.to_peer(TEXT_PROJ, params["condition"])


def with_statistics(cfg: PriorConfig) -> Specs:
    """A prior's Specs beside those of the image embeddings' statistics, which the peer keeps inside the model."""
    return {"prior": prior_spec(cfg), "statistics": statistics_spec(cfg.embed)}


def prior_from_diffusers(state: State, cfg: PriorConfig, where: str) -> tuple[Params, Params]:
    """A prior's parameters, and the {"mean", "deviation"} of the image embeddings that it was trained on.

    `gen.models.embedding.restore` takes the prior's output back with them. Raises ValueError as above.
    """
    params = names.from_peer(PRIOR, with_statistics(cfg), state, where)
    return params["prior"], params["statistics"]


def prior_to_diffusers(params: Params, statistics: Params) -> State:
    return names.to_peer(PRIOR, {"prior": params, "statistics": statistics})
