"""Weights of other implementations under gen's names, and back: one mechanism, and one table for each family.

A table lists, for every parameter, gen's path, the peer's name, and an einops pattern that takes the peer's array to
gen's. Read backwards the pattern takes it back, and from the shape of gen's Spec it gives the shape of the peer's
array. In a peer's name `{layer}` counts the layers that gen stores stacked along a leading axis.

    TABLE = (
        Rule("blocks/attention/query/kernel", "h.{layer}.to_q.weight", "(h k) d -> d h k"),
        *at("out", "proj_out", LINEAR),
    )
    params = from_peer(TABLE, specs, state, "model.safetensors")  # {"blocks": {"attention": {"query": {"kernel": ...
    state = to_peer(TABLE, params)                                # {"h.0.to_q.weight": (H K, D), ...}

A table may know more than a model has, CLIP's image tower for one; the rules of parameters that exist are used.
"""

import functools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax
import numpy as np
from einops import rearrange
from flax import traverse_util

from gen import spec, tree
from gen.spec import Params, Spec, Specs

State = Mapping[str, np.ndarray]


class Rule(NamedTuple):
    """gen's path, the peer's name, and the einops pattern from one array of the peer to gen's (of one layer)."""

    path: str
    name: str
    pattern: str

    @property
    def backward(self) -> str:
        peer, gen = self.pattern.split("->")
        return f"{gen} -> {peer}"

    @property
    def stacked(self) -> bool:
        return "{layer}" in self.name

    def names(self, shape: tuple[int, ...]) -> list[str]:
        """The peer's names for a parameter of gen's of this shape: one for each layer of a stack."""
        return [self.name.format(layer=i) for i in range(shape[0])] if self.stacked else [self.name]


Table = Iterable[Rule]

# Layers as most peers store them: linear kernels (out, in), convolutions (out, in, rows, columns), heads not cut apart.
NORM = (Rule("scale", "weight", "d -> d"), Rule("bias", "bias", "d -> d"))
LINEAR = (Rule("kernel", "weight", "o i -> i o"), Rule("bias", "bias", "o -> o"))
CONV = (Rule("kernel", "weight", "o i y x -> y x i o"), Rule("bias", "bias", "o -> o"))
TO_HEADS = (Rule("kernel", "weight", "(h k) d -> d h k"), Rule("bias", "bias", "(h k) -> h k"))
FROM_HEADS = (Rule("kernel", "weight", "d (h k) -> h k d"), Rule("bias", "bias", "d -> d"))


def at(path: str, name: str, table: Table) -> list[Rule]:
    """A layer's table at a path of gen's and at a prefix of the peer's names."""
    return [Rule(f"{path}/{rule.path}", f"{name}.{rule.name}", rule.pattern) for rule in table]


def peer_specs(table: Table, specs: Specs) -> dict[str, Spec]:
    """The peer's parameters, by its own names, of a model with these Specs; ValueError for one without a rule."""
    peer: dict[str, Spec] = {}
    for rule, leaf in _pairs(table, spec.flatten(specs)).values():
        layer = jax.ShapeDtypeStruct(leaf.shape[1:] if rule.stacked else leaf.shape, leaf.dtype)
        shape = jax.eval_shape(functools.partial(rearrange, pattern=rule.backward), layer).shape
        peer |= dict.fromkeys(rule.names(leaf.shape), Spec(shape, (None,) * len(shape), leaf.init, leaf.dtype))
    return peer


def from_peer(table: Table, specs: Specs, state: State, where: str) -> Params:
    """A peer's arrays as gen's parameters: NumPy arrays of the Specs' shapes and dtypes.

    Raises ValueError naming what is missing, unknown or of another shape in `state`, which `where` describes.
    """
    spec.check(peer_specs(table, specs), state, where)
    pairs = _pairs(table, spec.flatten(specs))
    return traverse_util.unflatten_dict({path: _load(state, *pair) for path, pair in pairs.items()}, sep="/")


def to_peer(table: Table, params: Params) -> dict[str, np.ndarray]:
    """gen's parameters as the peer's arrays. Raises ValueError for a parameter without a rule."""
    state: dict[str, np.ndarray] = {}
    for rule, leaf in _pairs(table, dict(tree.paths(params))).values():
        layers = np.asarray(leaf) if rule.stacked else [np.asarray(leaf)]
        state |= zip(rule.names(leaf.shape), (rearrange(layer, rule.backward) for layer in layers), strict=True)
    return state


def _pairs[Leaf](table: Table, leaves: Mapping[str, Leaf]) -> dict[str, tuple[Rule, Leaf]]:
    """Each parameter with its rule."""
    rules = {rule.path: rule for rule in table}
    nameless = [path for path in leaves if path not in rules]
    if nameless:
        raise ValueError(
            f"the other implementation has no place for {', '.join(nameless[:8])}; check the model's config"
        )
    return {path: (rules[path], leaf) for path, leaf in leaves.items()}


def _load(state: State, rule: Rule, leaf: Spec) -> np.ndarray:
    """One parameter from its array, or from one array for each layer."""
    axes = rule.pattern.split("->")[1].split()
    sizes = dict(zip(axes, leaf.shape[1:] if rule.stacked else leaf.shape, strict=True))
    arrays = [rearrange(np.asarray(state[name]), rule.pattern, **sizes) for name in rule.names(leaf.shape)]
    return (np.stack(arrays) if rule.stacked else arrays[0]).astype(leaf.dtype)
