"""A language model with another head: what it says of a text are numbers, not tokens.

    s_BTN = W h_BT + b                h: the states after the last norm (gen/models/lm.py)

A reward reads the last token of a text, a value every token, a classifier has an output for each class.

    params = {"lm": ..., "head": {"kernel": (D, N), "bias": (N,)}}
    at_last(headed(params, tokens_BT, cfg), length_B)           # (B, N)
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from gen.models.lm import LMConfig, lm_spec, states
from gen.nn.linear import linear, linear_spec
from gen.spec import Params, Specs


def lm_with_head_spec(cfg: LMConfig, outputs: int) -> Specs:
    """The head starts small, N(0, 1 / (D + 1)), as in lm-human-preferences (Ziegler et al. 2019, arXiv 1909.08593)."""
    width = cfg.transformer.width
    body = {name: part for name, part in lm_spec(cfg).items() if name != "head"}
    return {"lm": body, "head": linear_spec(width, outputs, ("embed", None), stddev=(width + 1) ** -0.5)}


def replace_head(language: Params, drawn: Params) -> Params:
    """A trained language model's weights under the head of `drawn`."""
    return {"lm": {name: part for name, part in language.items() if name != "head"}, "head": drawn["head"]}


def lm_with_head(
    params: Params, tokens_BT: Int[Array, "B T"], cfg: LMConfig, key_B: Key[Array, "B"] | None = None
) -> Float[Array, "B T N"]:
    """The numbers at every token, float32. Keys mean dropout."""
    return apply_head(params, states(params["lm"], tokens_BT, cfg, key_B=key_B).states_BTD)


def apply_head(params: Params, states_BTD: Float[Array, "*B D"]) -> Float[Array, "*B N"]:
    """What the head makes of states, float32."""
    return linear(params["head"], states_BTD.astype(jnp.float32))


def text_reward(
    params: Params, tokens_BT: Int[Array, "B T"], length_B: Int[Array, "B"], cfg: LMConfig
) -> Float[Array, "B"]:
    """What a head of one output says of each text, at its last token."""
    return last_token(lm_with_head(params, tokens_BT, cfg), length_B)[:, 0]


def last_token(x_BTN: Float[Array, "B T N"], length_B: Int[Array, "B"]) -> Float[Array, "B N"]:
    """The numbers at the last of each text's `length_B` tokens."""
    return jnp.take_along_axis(x_BTN, (length_B - 1)[:, None, None], axis=1)[:, 0]
