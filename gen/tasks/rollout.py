"""Answers that a policy gives while it is trained, and how likely models find them: what PPO and GRPO share.

    written = roll_out(params, batch, key_B, model, cfg, end=tokenizer.end)
    written.tokens_BT                                   # prompts and answers, one behind the other
    written.response_mask_BU                            # which tokens the policy chose; choice u is of token u + 1
    log_p_BU = read(params, written.tokens_BT, model, chunk=4096).log_p_BT

They are written by the programs that sampling compiles (gen/sample/generate.py), without dropout, as they are read.
"""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from gen.bounds import Bounded, Count, Finite, Positive
from gen.losses.lm import Likelihood, likelihood
from gen.models.lm import LMConfig, head, serving, states
from gen.models.lm_with_head import text_reward
from gen.sample.generate import GenerateConfig, generate
from gen.sample.sampling_params import SamplingParams
from gen.spec import Params
from gen.tasks.base import Batch


@dataclasses.dataclass(frozen=True)
class RolloutConfig(Bounded):
    """Answers of at most `new` tokens, drawn at `temperature`; at 0 they would not differ.

    One that does not end by itself is rewarded with `unfinished`, whatever it says. `chunk` is how many tokens are
    scored at once.
    """

    new: Count = 64
    temperature: Positive = 1.0
    unfinished: Finite = -1.0
    chunk: Count = 4096


class Rollout(NamedTuple):
    """Texts of `length_B` tokens; `finished_B` says whose answers ended by themselves."""

    tokens_BT: Int[Array, "B T"]
    length_B: Int[Array, "B"]
    response_mask_BU: Bool[Array, "B U"]
    finished_B: Bool[Array, "B"]


def roll_out(
    params: Params,
    batch: Batch,
    key_R: Key[Array, "R"],
    model: LMConfig,
    cfg: RolloutConfig,
    end: int,
    copies: int = 1,
    vocab: int | None = None,
) -> Rollout:
    """`copies` answers to each prompt stand side by side, and each has a key. A batch has `tokens` and `length`.

    `vocab` is the size of the tokenizer, if it is less than the model's.
    """
    prompt_BP, length_R = batch["tokens"], jnp.repeat(batch["length"], copies)
    slots = prompt_BP.shape[1] + cfg.new
    sampler = GenerateConfig(SamplingParams(temperature=cfg.temperature), ends=(end,), vocab=vocab)
    limit_R = length_R + cfg.new
    written = generate(params, prompt_BP, batch["length"], limit_R, key_R, model, sampler, slots, copies)
    place_U = jnp.arange(1, slots)
    chosen_RU = (place_U >= length_R[:, None]) & (place_U < written.length_B[:, None])
    last_R = jnp.take_along_axis(written.tokens_BS, written.length_B[:, None] - 1, axis=1)[:, 0]
    return Rollout(written.tokens_BS, written.length_B, chosen_RU, last_R == end)


def read(
    params: Params, tokens_BT: Int[Array, "B T"], model: LMConfig, *, chunk: int, temperature: float = 1.0
) -> Likelihood:
    """How likely each choice is at the temperature that answers are drawn with, whatever drew it."""
    states_BUD = states(params, tokens_BT[:, :-1], serving(model)).states_BTD
    rows, target_BU = head(params), tokens_BT[:, 1:]
    return likelihood(states_BUD, rows, target_BU, vocab=model.vocab, temperature=temperature, chunk=chunk)


def reward(params: Params, offset: Params, written: Rollout, model: LMConfig, cfg: RolloutConfig) -> Float[Array, "B"]:
    """What a reward model says of each answer at its end, above demonstrations; `unfinished` of those without one."""
    score_B = text_reward(params, written.tokens_BT, written.length_B, serving(model))
    return jnp.where(written.finished_B, score_B - offset["demonstrations"], cfg.unfinished)


def correct(written: Rollout, batch: Batch, copies: int = 1) -> Bool[Array, "B"]:
    """Whether each answer is the batch's `answer`, token for token with its end."""
    length_B = jnp.repeat(batch["length"], copies)
    answer_BN, answer_length_B = (jnp.repeat(batch[name], copies, axis=0) for name in ("answer", "answer_length"))
    place_N = jnp.arange(answer_BN.shape[1])
    said_BN = jnp.take_along_axis(written.tokens_BT, length_B[:, None] + place_N, axis=1)
    agrees_BN = (said_BN == answer_BN) | (place_N >= answer_length_B[:, None])
    return agrees_BN.all(1) & (written.length_B == length_B + answer_length_B)
