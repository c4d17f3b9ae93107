"""A mixture of experts in place of an MLP: each token goes to the few of many MLPs that a router picks.

    p = softmax(x W_router),    y = sum over the top k experts e of  p_e / (sum of the k) * mlp_e(x)

For k = 1 the weight is p_e itself, or the router would have no gradient (Fedus et al. 2021, arXiv 2101.03961). Experts
are balanced by the loss of that paper, E * sum_e f_e P_e, which is 1 when tokens spread evenly, and the router's logits
kept small by mean(logsumexp^2) (Zoph et al. 2022, arXiv 2202.08906).

Tokens are brought to their experts row by row, so that nothing depends on the mesh: an expert takes at most `capacity`
x T k / E tokens of a row, first choices first, and what it does not take passes by. Without a capacity it takes all.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from gen import mesh, spec
from gen.bounds import Bounded, Count, OutOfBounds, Positive
from gen.nn.activations import Activation
from gen.nn.mlp import activate_and_project
from gen.spec import Params, Spec, Specs


@dataclasses.dataclass(frozen=True)
class MoEConfig(Bounded):
    """`count` experts, of which each token sees `top_k`; `capacity` (1.25, say) bounds what one takes in training,
    None nothing."""

    count: Count
    top_k: Count = 2
    capacity: Positive | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.top_k > self.count:
            raise OutOfBounds("top_k", f"={self.top_k} must be at most count={self.count}")

    def expert_capacity(self, tokens: int) -> int:
        """How many tokens of a row one expert takes."""
        if self.capacity is None:
            return tokens
        return min(tokens, math.ceil(self.capacity * tokens * self.top_k / self.count))


class RouterLosses(NamedTuple):
    """How evenly a router spreads its tokens (1 is even), and the mean square of its logits' logsumexp."""

    load_balancing: Float[Array, "..."]
    z: Float[Array, "..."]


def experts_spec(
    width: int, hidden: int, cfg: MoEConfig, *, gated: bool, stddev: float | None, out_stddev: float | None
) -> Specs:
    def kernel(d_in: int, d_out: int, axes: tuple[str, str], own: float | None) -> Spec:
        return Spec((cfg.count, d_in, d_out), ("expert", *axes), spec.normal(d_in**-0.5 if own is None else own))

    into = kernel(width, hidden, ("embed", "mlp"), stddev)
    return {
        "router": Spec((width, cfg.count), ("embed", None), spec.normal(width**-0.5)),
        "in": into,
        "out": kernel(hidden, width, ("mlp", "embed"), out_stddev),
    } | ({"gate": into} if gated else {})


def experts(
    params: Params, x_BTD: Float[Array, "B T D"], cfg: MoEConfig, activation: Activation
) -> tuple[Float[Array, "B T D"], RouterLosses]:
    logits_BTE = jnp.einsum("btd,de->bte", x_BTD, params["router"], preferred_element_type=jnp.float32)
    weight_BTN, choice_BTN, balance = route(logits_BTE, cfg)
    slots = cfg.expert_capacity(x_BTD.shape[1])
    slot_BTN, taken_BTN = jax.vmap(lambda choice: assign(choice, cfg.count, slots))(choice_BTN)

    # to the experts: each slot looks up its token, and an empty one reads zeros past the row's end
    def fetch(x_TD, choice_TN, slot_TN, taken_TN):
        tokens = jnp.broadcast_to(jnp.arange(len(x_TD))[:, None], choice_TN.shape)
        source_EC = jnp.full((cfg.count, slots), len(x_TD))
        source_EC = source_EC.at[choice_TN, jnp.where(taken_TN, slot_TN, slots)].set(tokens, mode="drop")
        return x_TD.at[source_EC].get(mode="fill", fill_value=0)

    x_BECD = mesh.shard(jax.vmap(fetch)(x_BTD, choice_BTN, slot_BTN, taken_BTN), "group", "expert", None, None)
    y_BECD = mesh.shard(expert_mlp(params, x_BECD, activation), "group", "expert", None, None)

    # and back to their places in the row
    y_BTND = jax.vmap(lambda y, choice, slot: y.at[choice, slot].get(mode="fill", fill_value=0))(
        y_BECD, choice_BTN, slot_BTN
    )
    weight_BTN = jnp.where(taken_BTN, weight_BTN, 0).astype(x_BTD.dtype)
    return mesh.shard(jnp.einsum("btnd,btn->btd", y_BTND, weight_BTN), "batch", "sequence", None), balance


def route(
    logits_BTE: Float[Array, "B T E"], cfg: MoEConfig
) -> tuple[Float[Array, "B T N"], Int[Array, "B T N"], RouterLosses]:
    """The weights and numbers of each token's experts, best first."""
    p_BTE = jax.nn.softmax(logits_BTE)
    weight_BTN, choice_BTN = jax.lax.top_k(p_BTE, cfg.top_k)
    if cfg.top_k > 1:
        weight_BTN = weight_BTN / weight_BTN.sum(-1, keepdims=True)
    share_E = jax.nn.one_hot(choice_BTN, cfg.count).mean((0, 1, 2))
    load = cfg.count * (share_E * p_BTE.mean((0, 1))).sum()
    return weight_BTN, choice_BTN, RouterLosses(load, jnp.square(jax.nn.logsumexp(logits_BTE, -1)).mean())


def assign(choice_TN: Int[Array, "T N"], count: int, slots: int) -> tuple[Int[Array, "T N"], Bool[Array, "T N"]]:
    """The place of each token with each expert of its choice, and whether there is one: first choices go first."""
    wanted_NTE = jax.nn.one_hot(choice_TN.T, count, dtype=jnp.int32)
    before_NTE = (jnp.cumsum(wanted_NTE.reshape(-1, count), axis=0) - 1).reshape(wanted_NTE.shape)
    slot_TN = (before_NTE * wanted_NTE).sum(-1).T
    return slot_TN, slot_TN < slots


def expert_mlp(params: Params, x_BECD: Float[Array, "B E C D"], activation: Activation) -> Float[Array, "B E C D"]:
    """Every expert's MLP on its own tokens."""
    product = lambda name, x: jnp.einsum("beci,eio->beco", x, params[name].astype(x.dtype))
    h_BECF = mesh.shard(product("in", x_BECD), "group", "expert", None, "mlp")
    gate_BECF = product("gate", x_BECD) if "gate" in params else None
    return activate_and_project(lambda h_BECF: product("out", h_BECF), activation, h_BECF, gate_BECF)
