"""LLaMA by the names and the config.json of transformers' LlamaForCausalLM (1 to 3, and what is built like them).

    cfg = from_config(json.loads(text), "llama/config.json")
    params = names.from_peer(TABLE, lm_spec(cfg), plain(state), "llama")

Rotary angles may stand in the config as `rope_theta` and `rope_scaling`, or both in `rope_parameters`.
"""

from typing import Any

import numpy as np

from gen.interop.fields import Fields, peer_activation
from gen.interop.names import FROM_HEADS, LINEAR, NORM, TO_HEADS, NameRule, State, at
from gen.models.lm import LMConfig
from gen.nn.rotary import Llama3Scaling, Rotary
from gen.nn.transformer import TransformerConfig

BLOCK = (
    *at("attention_norm", "input_layernorm", NORM),
    *at("attention/query", "self_attn.q_proj", TO_HEADS),
    *at("attention/key", "self_attn.k_proj", TO_HEADS),
    *at("attention/value", "self_attn.v_proj", TO_HEADS),
    *at("attention/out", "self_attn.o_proj", FROM_HEADS),
    *at("mlp_norm", "post_attention_layernorm", NORM),
    *at("mlp/gate", "mlp.gate_proj", LINEAR),
    *at("mlp/in", "mlp.up_proj", LINEAR),
    *at("mlp/out", "mlp.down_proj", LINEAR),
)
TABLE = (
    NameRule("tokens", "model.embed_tokens.weight", "v d -> v d"),
    *at("blocks", "model.layers.{layer}", BLOCK),
    *at("final_norm", "model.norm", NORM),
    NameRule("head", "lm_head.weight", "v d -> v d"),
)


def from_config(config: dict[str, Any], where: str) -> LMConfig:
    """Raises ValueError naming a key whose meaning gen does not compute."""
    fields = Fields(config, where)
    fields.only("is_encoder_decoder", False)
    fields.only("add_cross_attention", False)
    fields.only("sliding_window", None)
    fields.only("rope_interleaved", False)
    width, heads = fields.size("hidden_size", 4096), fields.size("num_attention_heads", 32)
    head_dim = fields.size("head_dim", width // heads)
    if head_dim % 2:
        raise fields.wrong("head_dim", head_dim, "rotary positions need an even number")
    context = fields.size("max_position_embeddings", 2048)
    transformer = TransformerConfig(
        width=width,
        layers=fields.size("num_hidden_layers", 32),
        heads=heads,
        kv_heads=fields.size("num_key_value_heads", heads),
        head_dim=head_dim,
        mlp=fields.size("intermediate_size", 11008),
        activation=fields.activation("hidden_act", "silu"),
        gated=True,
        norm="rms",
        eps=fields.number("rms_norm_eps", 1e-6),
        attention_bias=fields.flag("attention_bias", False),
        mlp_bias=fields.flag("mlp_bias", False),
        norm_bias=False,
        causal=True,
        rotary=_rotary(fields, context, where),
        stddev=0.02,
    )
    vocab, tied = fields.size("vocab_size", 32000), fields.flag("tie_word_embeddings", False)
    fields.done(frozenset({"pretraining_tp"}))
    return LMConfig(vocab, context, transformer, tied=tied)


def _rotary(fields: Fields, context: int, where: str) -> Rotary:
    theta = fields.number("rope_theta", 10_000.0)
    new, old = fields.group("rope_parameters"), fields.group("rope_scaling")
    if new and old:
        raise fields.wrong("rope_scaling", old, "rope_parameters stands beside it; keep one of the two")
    rope = Fields(new or old or {}, f"{where}, rope_{'parameters' if new else 'scaling'}")
    theta = rope.number("rope_theta", theta)
    rope.only("partial_rotary_factor", 1.0, 1)
    kind = (new or old or {}).get("rope_type") or (new or old or {}).get("type") or "default"
    scaling = None
    if kind == "llama3":
        low, high = rope.number("low_freq_factor"), rope.number("high_freq_factor")
        if high <= low:
            raise rope.wrong("high_freq_factor", high, "it must be larger than low_freq_factor")
        scaling = Llama3Scaling(
            factor=rope.number("factor"),
            low=low,
            high=high,
            context=rope.size("original_max_position_embeddings", context),
        )
    elif kind != "default":
        raise rope.wrong("rope_type", kind, "gen computes default and llama3")
    rope.complete(frozenset({"rope_type", "type"}))
    return Rotary(theta, scaling)


def to_config(cfg: LMConfig) -> dict[str, Any]:
    """The config.json of the peer that is nearest to `cfg`; whether it is the same, `from_config` tells."""
    transformer = cfg.transformer
    rotary = transformer.rotary or Rotary()
    scaling = rotary.scaling and {
        "rope_type": "llama3",
        "factor": rotary.scaling.factor,
        "low_freq_factor": rotary.scaling.low,
        "high_freq_factor": rotary.scaling.high,
        "original_max_position_embeddings": rotary.scaling.context,
    }
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": cfg.vocab,
        "max_position_embeddings": cfg.context,
        "hidden_size": transformer.width,
        "num_hidden_layers": transformer.layers,
        "num_attention_heads": transformer.heads,
        "num_key_value_heads": transformer.groups,
        "head_dim": transformer.head_width,
        "intermediate_size": transformer.hidden,
        "hidden_act": peer_activation(transformer.activation),
        "rms_norm_eps": transformer.eps,
        "attention_bias": transformer.attention_bias,
        "mlp_bias": transformer.mlp_bias,
        "attention_dropout": 0.0,
        "rope_theta": rotary.theta,
        "rope_scaling": scaling,
        "tie_word_embeddings": cfg.tied,
    }


def plain(state: State) -> dict[str, np.ndarray]:
    """The arrays of the table: old files hold rotary frequencies, which the config says as well."""
    return {name: array for name, array in state.items() if not name.endswith("rotary_emb.inv_freq")}
