"""Decoder-only language models: GPT-1 to GPT-3, LLaMA, BLOOM, PaLM and their relatives, by config.

h = embed(tokens) [+ positions] [normed];  h = blocks(h);  logits = norm(h) W_head^T         (W_head = W_embed if tied)

    cfg = LMConfig(vocab=50257, context=1024, transformer=TransformerConfig(768, 12, 12, causal=True))
    logits_BTV = logits(params, tokens_BT, cfg)

Generation keeps the keys and values of every layer in a cache: `prefill` reads whole prompts at once with the scanned
layers; `decode` continues all rows with the layers one by one, from weights that `decode_params` has taken apart,
because a scan would copy every layer's weights out of their stack for each token.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from gen import mesh, spec, tree
from gen.bounds import Bounded, Count
from gen.nn import attention_mask
from gen.nn.attention import dot_product_attention
from gen.nn.attention_mask import NO_MASK
from gen.nn.decode_attention import cache_axes, decode_attention, put, to_cache
from gen.nn.dropout import dropout
from gen.nn.experts import RouterLosses
from gen.nn.linear import matmul_transposed
from gen.nn.norms import norm
from gen.nn.positions import learned_positions_spec
from gen.nn.relative import table_spec
from gen.nn.transformer import (
    AttentionFn,
    TransformerConfig,
    apply_blocks,
    attention_fn_for,
    block,
    norm_spec_for,
    transformer_spec,
    transpose_block_kernels,
)
from gen.spec import Dtype, Params, Spec, Specs


@dataclasses.dataclass(frozen=True)
class LMConfig(Bounded):
    """`context` is the longest row in tokens. `learned_positions` are added to the embeddings (GPT); rotary and
    relative ones belong to the transformer. `embedding_norm` is BLOOM's; GPT-1 has no `final_norm`.

    The vocabulary is stored with rows added up to a multiple of `vocab_multiple`, so that a mesh can cut it; those
    rows are never predicted and count in no loss.
    """

    vocab: Count
    context: Count
    transformer: TransformerConfig
    learned_positions: bool = False
    tied: bool = True
    embedding_norm: bool = False
    final_norm: bool = True
    vocab_multiple: Count = 1
    dtype: Dtype = "float32"

    def __post_init__(self):
        super().__post_init__()
        if not self.transformer.causal:
            raise ValueError("model.transformer.causal must be True: a language model may not see what it predicts")

    @property
    def embedding_rows(self) -> int:
        """Rows of the embedding table."""
        return -(-self.vocab // self.vocab_multiple) * self.vocab_multiple


class LMStates(NamedTuple):
    """The states after the last norm, and the balance of each layer's experts, if there are any."""

    states_BTD: Float[Array, "B T D"]
    balance: RouterLosses | None


# The weights that stand in products with the stream, by the ends of their paths; "in", "gate" and "out" are experts'.
TRANSPOSED = ("rows", "tokens", "head", "in", "gate", "out")

# Keys and values of one layer, a slot for each token that fits: {"key": (B, G, S, K), "value": (B, G, S, K)}.
type LayerCache = dict[str, Array]


def lm_spec(cfg: LMConfig) -> Specs:
    transformer, width = cfg.transformer, cfg.transformer.width
    stddev = 0.02 if transformer.stddev is None else transformer.stddev
    specs: dict[str, Any] = {
        "tokens": Spec((cfg.embedding_rows, width), ("vocab", "embed"), spec.normal(stddev)),
        "blocks": transformer_spec(transformer),
    }
    if cfg.learned_positions:
        specs["positions"] = learned_positions_spec(cfg.context, width)
    if cfg.embedding_norm:
        specs["embedding_norm"] = norm_spec_for(transformer)
    if transformer.relative == "t5":
        specs["relative"] = table_spec(transformer.heads)
    if cfg.final_norm:
        specs["final_norm"] = norm_spec_for(transformer)
    if not cfg.tied:
        specs["head"] = Spec((cfg.embedding_rows, width), ("vocab", "embed"), spec.normal(stddev))
    return specs


def states(
    params: Params,
    tokens_BT: Int[Array, "B T"],
    cfg: LMConfig,
    *,
    position_BT: Int[Array, "B T"] | None = None,
    segment_BT: Int[Array, "B T"] | None = None,
    key_B: Key[Array, "B"] | None = None,
) -> LMStates:
    """What the head reads. `position_BT` counts from each document's start, by default from the row's; tokens see
    those of their own segment. Keys mean dropout."""
    mix = attention_fn_for(cfg.transformer, attention_mask.segment_mask(segment_BT), params.get("relative"))
    h_BTD = embed(params, tokens_BT, cfg, position_BT, key_B)
    h_BTD, outputs = apply_blocks(params["blocks"], h_BTD, cfg.transformer, mix, position_BT, key_B)
    return LMStates(_final(params, h_BTD, cfg), outputs.balance)


def logits(params: Params, tokens_BT: Int[Array, "B T"], cfg: LMConfig) -> Float[Array, "B T V"]:
    """The scores of every next token, float32."""
    return score(params, states(params, tokens_BT, serving(cfg)).states_BTD, cfg)


def serving(cfg: LMConfig) -> LMConfig:
    """The model without what belongs to training: dropout, recomputation, and the experts' capacity, under which a
    token's scores depend on those that come after it and on how many are read at once."""
    transformer = cfg.transformer
    experts = None if transformer.experts is None else dataclasses.replace(transformer.experts, capacity=None)
    return dataclasses.replace(
        cfg, transformer=dataclasses.replace(transformer, experts=experts, dropout=0.0, remat="none")
    )


def embed(
    params: Params,
    tokens_BT: Int[Array, "B T"],
    cfg: LMConfig,
    position_BT: Int[Array, "#B T"] | None = None,
    key_B: Key[Array, "B"] | None = None,
) -> Float[Array, "B T D"]:
    """Raises ValueError for rows that are longer than the context."""
    if tokens_BT.shape[1] > cfg.context:
        raise ValueError(f"rows of {tokens_BT.shape[1]} tokens are longer than the model's context of {cfg.context}")
    dtype = jnp.dtype(cfg.dtype)
    # looked up before it is cast: the gradients of a token's many places are summed in the dtype of the table
    h_BTD = params["tokens"][tokens_BT].astype(dtype)
    if cfg.learned_positions:
        at_BT = jnp.arange(tokens_BT.shape[1])[None] if position_BT is None else position_BT
        h_BTD = h_BTD + params["positions"][at_BT].astype(dtype)
    if cfg.embedding_norm:
        h_BTD = norm(params["embedding_norm"], h_BTD, cfg.transformer.norm, cfg.transformer.eps)
    return mesh.shard(dropout(h_BTD, cfg.transformer.dropout, key_B, "embedding"), "batch", "sequence", None)


def head(params: Params) -> Float[Array, "V D"]:
    """What turns states into scores: a row for each token."""
    return params.get("head", params["tokens"])


def score(params: Params, states_BTD: Float[Array, "B T D"], cfg: LMConfig) -> Float[Array, "B T V"]:
    """States to logits of the vocabulary, float32."""
    head_VD = head(params).astype(states_BTD.dtype)
    logits_BTV = matmul_transposed(states_BTD, head_VD, jnp.float32)
    return mesh.shard(logits_BTV, "batch", "sequence", "vocab")[..., : cfg.vocab]


def _final(params: Params, h_BTD: Array, cfg: LMConfig) -> Array:
    transformer = cfg.transformer
    return norm(params["final_norm"], h_BTD, transformer.norm, transformer.eps) if cfg.final_norm else h_BTD


# ---- generation


def cache_spec(cfg: LMConfig, rows: int, slots: int) -> list[Specs]:
    """An empty cache of `slots` tokens for each of `rows`: a Spec tree, so that a mesh can place it."""
    transformer = cfg.transformer
    shape = (rows, transformer.groups, slots, transformer.head_width)
    layer = Spec(shape, cache_axes(transformer.groups), spec.zeros, jnp.dtype(cfg.dtype))
    return [{"key": layer, "value": layer} for _ in range(transformer.layers)]


def decode_params(params: Params, cfg: LMConfig) -> Params:
    """The weights as `decode` reads them: a list of layers in place of their stack, kernels as rows. What multiplies
    is in the dtype that the model computes in; the rest stays, so that decoding computes what reading computes."""
    dtype = jnp.dtype(cfg.dtype)
    cast = lambda path, x: x.astype(dtype) if path.rsplit("/", 1)[-1] in TRANSPOSED else x
    layer = lambda i: jax.tree.map(lambda x: x[i], params["blocks"])
    layers = [transpose_block_kernels(layer(i)) for i in range(cfg.transformer.layers)]
    return tree.map_with_path(cast, {**params, "blocks": layers})


def prefill(
    params: Params, tokens_BT: Int[Array, "B T"], length_B: Int[Array, "B"], cfg: LMConfig, slots: int
) -> tuple[Float[Array, "B V"], list[LayerCache]]:
    """Reads prompts that fill `length_B` tokens of their rows: the scores of what follows, and a cache of `slots`.

    What lies behind a prompt's end is written over by `decode` before any token sees it.
    """
    transformer = serving(cfg).transformer
    table = params.get("relative")

    def mix(query: Array, key: Array, value: Array) -> tuple[Array, LayerCache]:
        kept = {"key": to_cache(key, slots), "value": to_cache(value, slots)}
        return dot_product_attention(query, key, value, transformer.rule, NO_MASK, table), kept

    h_BTD, outputs = apply_blocks(params["blocks"], embed(params, tokens_BT, cfg), transformer, mix)
    last_B1D = jnp.take_along_axis(h_BTD, (length_B - 1)[:, None, None], axis=1)
    cache = [jax.tree.map(lambda x, i=i: x[i], outputs.cache) for i in range(transformer.layers)]
    return score(params, _final(params, last_B1D, cfg), cfg)[:, 0], cache


def decode(
    params: Params, tokens_BT: Int[Array, "B T"], slot_B: Int[Array, "B"], cache: Sequence[LayerCache], cfg: LMConfig
) -> tuple[Float[Array, "B T V"], list[LayerCache]]:
    """Continues each row at its own slot by T tokens: their scores, and the cache with them in it.

    `params` are those of `decode_params`.
    """
    transformer = serving(cfg).transformer
    slot_BT = slot_B[:, None] + jnp.arange(tokens_BT.shape[1])
    h_BTD = embed(params, tokens_BT, cfg, slot_BT)
    new: list[LayerCache] = []
    for layer, old in zip(params["blocks"], cache, strict=True):
        mix = _cached_attention_fn(old, slot_BT, transformer, params.get("relative"))
        h_BTD, outputs = block(layer, h_BTD, transformer, mix, slot_BT)
        new.append(outputs.cache)
    return score(params, _final(params, h_BTD, cfg), cfg), new


def _cached_attention_fn(cache: LayerCache, slot_BT: Array, cfg: TransformerConfig, table: Array | None) -> AttentionFn:
    """Attention to all that the cache holds, with the new keys and values put into it first."""

    def mix(query: Array, key: Array, value: Array) -> tuple[Array, LayerCache]:
        slot_B = slot_BT[:, 0]
        new = {"key": put(cache["key"], key, slot_B), "value": put(cache["value"], value, slot_B)}
        return decode_attention(query, new["key"], new["value"], slot_BT, cfg.rule, table), new

    return mix
