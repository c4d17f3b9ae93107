"""Text from a language model: `prefill_prompts` reads prompts at once, `decode_steps` grows all rows token by token.

Both are pure functions for `jax.jit`; the cache and everything else that grows is in `DecodeState`, which
`decode_steps` may be given to keep (donated). A row draws from (its own key, its length), whatever else is in the batch
and however many tokens are made at a time.

    writing = prefill_prompts(params, prompt_BT, length_B, limit_R, key_R, model, cfg, slots=256)
    writing = decode_steps(decode_params(params, model), writing, model, cfg, tokens=16)
    writing.tokens_BS, writing.length_B, writing.log_p_BS
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from gen.bounds import Bounded, Count, Natural
from gen.models.lm import LayerCache, LMConfig, decode, decode_params, prefill
from gen.sample.sampling_params import NEG_INF, SamplingParams, sample_token
from gen.spec import Params


@dataclasses.dataclass(frozen=True)
class GenerateConfig(Bounded):
    """How tokens are chosen, and the ids after which a row is done (its end of text).

    `vocab` is the size of the tokenizer: ids from there on, for which a model may have rows, are never chosen.
    """

    choice: SamplingParams = SamplingParams()
    ends: tuple[Natural, ...] = ()
    vocab: Count | None = None


class DecodeState(NamedTuple):
    """Rows of text as they grow. Slots behind a row's length are not written yet.

    `log_p_BS` is the model's own log-probability of each token that was chosen, whatever the choice did to it.
    """

    tokens_BS: Int[Array, "B S"]
    log_p_BS: Float[Array, "B S"]
    length_B: Int[Array, "B"]
    limit_B: Int[Array, "B"]
    done_B: Bool[Array, "B"]
    key_B: Key[Array, "B"]
    seen_BV: Bool[Array, "B V"] | None
    cache: list[LayerCache]


def prefill_prompts(
    params: Params,
    prompt_BT: Int[Array, "B T"],
    length_B: Int[Array, "B"],
    limit_R: Int[Array, "R"],
    key_R: Key[Array, "R"],
    model: LMConfig,
    cfg: GenerateConfig,
    slots: int,
    copies: int = 1,
) -> DecodeState:
    """Reads each prompt once and chooses the first token of its `copies` rows, one after the other.

    Row b of the prompts has `length_B[b]` tokens. R = B x copies rows are written; each has a key, and a limit, the
    length at which it is done. `slots` is at least every limit.
    """
    logits_BV, cache = prefill(params, prompt_BT, length_B, model, slots)
    repeat = lambda x: jnp.repeat(x, copies, axis=0)
    logits_BV, cache, length_B, prompt_BT = jax.tree.map(repeat, (logits_BV, cache, length_B, prompt_BT))
    tokens_BS = jnp.pad(prompt_BT, [(0, 0), (0, slots - prompt_BT.shape[1])])
    real_BS = jnp.arange(slots) < length_B[:, None]
    seen_BV = None
    if cfg.choice.penalty != 1.0:
        none_BV = jnp.zeros(logits_BV.shape, jnp.int32)
        row_B1 = jnp.arange(len(tokens_BS))[:, None]
        seen_BV = none_BV.at[row_B1, tokens_BS].max(real_BS.astype(jnp.int32)) > 0
    empty_BS = jnp.zeros(tokens_BS.shape, jnp.float32)
    full_B = length_B >= limit_R
    writing = DecodeState(jnp.where(real_BS, tokens_BS, 0), empty_BS, length_B, limit_R, full_B, key_R, seen_BV, cache)
    return _append(writing, logits_BV, cfg)


def decode_steps(
    params: Params, writing: DecodeState, model: LMConfig, cfg: GenerateConfig, tokens: int
) -> DecodeState:
    """Up to `tokens` more for every row that is not done; less work where all are. `params` are those of
    `decode_params`."""

    def more(state: tuple[Array, DecodeState]) -> Array:
        made, writing = state
        return (made < tokens) & ~writing.done_B.all()

    def step(state: tuple[Array, DecodeState]) -> tuple[Array, DecodeState]:
        made, writing = state
        # the newest token has been chosen but not yet read; rows that are done read it again and again
        slot_B = writing.length_B - 1
        newest_B1 = jnp.take_along_axis(writing.tokens_BS, slot_B[:, None], axis=1)
        logits_B1V, cache = decode(params, newest_B1, slot_B, writing.cache, model)
        return made + 1, _append(writing._replace(cache=cache), logits_B1V[:, 0], cfg)

    return jax.lax.while_loop(more, step, (jnp.int32(0), writing))[1]


def generate(
    params: Params,
    prompt_BT: Int[Array, "B T"],
    length_B: Int[Array, "B"],
    limit_R: Int[Array, "R"],
    key_R: Key[Array, "R"],
    model: LMConfig,
    cfg: GenerateConfig,
    slots: int,
    copies: int = 1,
) -> DecodeState:
    """Whole texts in one program, as a training step needs them; arguments as of `prefill_prompts`."""
    writing = prefill_prompts(params, prompt_BT, length_B, limit_R, key_R, model, cfg, slots, copies)
    return decode_steps(decode_params(params, model), writing, model, cfg, slots)


def _within(logits_BV: Array, vocab: int | None) -> Array:
    """The scores, with those of ids that the tokenizer has not set to NEG_INF."""
    size = logits_BV.shape[-1]
    return logits_BV if vocab is None or vocab >= size else jnp.where(jnp.arange(size) < vocab, logits_BV, NEG_INF)


def _append(writing: DecodeState, logits_BV: Array, cfg: GenerateConfig) -> DecodeState:
    """The rows that are not done with one more token."""
    draw_B = jax.vmap(jax.random.fold_in)(writing.key_B, writing.length_B)
    token_B = sample_token(_within(logits_BV, cfg.vocab), writing.seen_BV, draw_B, cfg.choice)
    chosen_B = jnp.take_along_axis(logits_BV, token_B[:, None], axis=1)[:, 0]
    log_p_B = chosen_B - jax.nn.logsumexp(logits_BV, axis=1)
    here_BS = (jnp.arange(writing.tokens_BS.shape[1]) == writing.length_B[:, None]) & ~writing.done_B[:, None]
    length_B = writing.length_B + ~writing.done_B
    ended_B = jnp.isin(token_B, jnp.array(cfg.ends, jnp.int32))
    seen_BV = writing.seen_BV
    if seen_BV is not None:
        seen_BV = seen_BV | (jnp.arange(seen_BV.shape[1]) == token_B[:, None])
    return writing._replace(
        tokens_BS=jnp.where(here_BS, token_B[:, None], writing.tokens_BS),
        log_p_BS=jnp.where(here_BS, log_p_B[:, None], writing.log_p_BS),
        length_B=length_B,
        done_B=writing.done_B | ended_B | (length_B >= writing.limit_B),
        seen_BV=seen_BV,
    )
