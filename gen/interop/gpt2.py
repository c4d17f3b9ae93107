"""GPT-2 by the names and the config.json of transformers' GPT2LMHeadModel (openai-community/gpt2 and its relatives).

    cfg = from_config(json.loads(text), "gpt2/config.json")
    params = names.from_peer(TABLE, lm_spec(cfg), plain(state), "gpt2")

The peer keeps linear kernels as (in, out), and queries, keys and values in one array.
"""

import re
from typing import Any

import numpy as np

from gen.interop.fields import Fields, peer_activation
from gen.interop.names import NORM, NameRule, State, at
from gen.models.lm import LMConfig
from gen.nn.transformer import TransformerConfig

LINEAR = (NameRule("kernel", "weight", "i o -> i o"), NameRule("bias", "bias", "o -> o"))
FROM_HEADS = (NameRule("kernel", "weight", "(h k) d -> h k d"), NameRule("bias", "bias", "d -> d"))
BLOCK = (
    *at("attention_norm", "ln_1", NORM),
    *(
        rule
        for part, name in enumerate(("query", "key", "value"))
        for rule in (
            NameRule(f"attention/{name}/kernel", "attn.c_attn.weight", "d (part h k) -> part d h k", part),
            NameRule(f"attention/{name}/bias", "attn.c_attn.bias", "(part h k) -> part h k", part),
        )
    ),
    *at("attention/out", "attn.c_proj", FROM_HEADS),
    *at("mlp_norm", "ln_2", NORM),
    *at("mlp/in", "mlp.c_fc", LINEAR),
    *at("mlp/out", "mlp.c_proj", LINEAR),
)
TABLE = (
    NameRule("tokens", "transformer.wte.weight", "v d -> v d"),
    NameRule("positions", "transformer.wpe.weight", "t d -> t d"),
    *at("blocks", "transformer.h.{layer}", BLOCK),
    *at("final_norm", "transformer.ln_f", NORM),
    NameRule("head", "lm_head.weight", "v d -> v d"),
)

MASKS = re.compile(r"(^|\.)h\.\d+\.attn\.(masked_)?bias$")
SUMMARY = frozenset(f"summary_{key}" for key in ("activation", "first_dropout", "proj_to_labels", "type", "use_proj"))


def from_config(config: dict[str, Any], where: str) -> LMConfig:
    """Raises ValueError naming a key whose meaning gen does not compute."""
    fields = Fields(config, where)
    fields.only("scale_attn_weights", True)
    fields.only("scale_attn_by_inverse_layer_idx", False)
    fields.only("add_cross_attention", False)
    fields.only("is_encoder_decoder", False)
    width = fields.size("n_embd", 768)
    transformer = TransformerConfig(
        width=width,
        layers=fields.size("n_layer", 12),
        heads=fields.size("n_head", 12),
        mlp=fields.size("n_inner", 4 * width),
        activation=fields.activation("activation_function", "gelu_new"),
        eps=fields.number("layer_norm_epsilon", 1e-5),
        causal=True,
        stddev=0.02,
    )
    cfg = LMConfig(
        vocab=fields.size("vocab_size", 50257),
        context=fields.size("n_positions", 1024),
        transformer=transformer,
        learned_positions=True,
        tied=fields.flag("tie_word_embeddings", True),
    )
    # n_ctx repeats n_positions in old files; the next is about rounding in half precision
    fields.done(SUMMARY | {"n_ctx", "reorder_and_upcast_attn"})
    return cfg


def to_config(cfg: LMConfig) -> dict[str, Any]:
    """The config.json of the peer that is nearest to `cfg`; whether it is the same, `from_config` tells."""
    transformer = cfg.transformer
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": cfg.vocab,
        "n_positions": cfg.context,
        "n_embd": transformer.width,
        "n_layer": transformer.layers,
        "n_head": transformer.heads,
        "n_inner": transformer.hidden,
        "activation_function": peer_activation(transformer.activation),
        "layer_norm_epsilon": transformer.eps,
        "attn_pdrop": 0.0,
        "embd_pdrop": transformer.dropout,
        "resid_pdrop": transformer.dropout,
        "tie_word_embeddings": cfg.tied,
    }


def plain(state: State) -> dict[str, np.ndarray]:
    """The arrays by the names of the table; the hub's files leave a prefix out, and old ones hold causal masks."""
    whole = any(name.startswith("transformer.") for name in state)
    return {
        name if whole or name.startswith("lm_head.") else f"transformer.{name}": array
        for name, array in state.items()
        if not MASKS.search(name)
    }
