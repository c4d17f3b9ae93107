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

Where the peer keeps several parameters in one array, equally large, the pattern gives gen's side an axis of them in
front, and `part` counts along it: rules of one name are parts 0, 1, ... of its array.

    Rule("blocks/attention/key/kernel", "h.{layer}.c_attn.weight", "d (part h k) -> part d h k", part=1)
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from einops import rearrange
from flax import traverse_util
from jax.sharding import Sharding

from gen import spec, tree
from gen.spec import Params, Spec, Specs

State = Mapping[str, np.ndarray]
type Index = tuple[slice, ...]
type Read = Callable[[Any], np.ndarray]  # an Index to what stands there


class NameRule(NamedTuple):
    """gen's path, the peer's name, and the einops pattern from one array of the peer to gen's (of one layer).

    `part` is the place of gen's array in the peer's, None where it is the whole.
    """

    path: str
    name: str
    pattern: str
    part: int | None = None

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


Table = Iterable[NameRule]

# Layers as most peers store them: linear kernels (out, in), convolutions (out, in, rows, columns), heads not cut apart.
NORM = (NameRule("scale", "weight", "d -> d"), NameRule("bias", "bias", "d -> d"))
LINEAR = (NameRule("kernel", "weight", "o i -> i o"), NameRule("bias", "bias", "o -> o"))
CONV = (NameRule("kernel", "weight", "o i y x -> y x i o"), NameRule("bias", "bias", "o -> o"))
TO_HEADS = (NameRule("kernel", "weight", "(h k) d -> d h k"), NameRule("bias", "bias", "(h k) -> h k"))
FROM_HEADS = (NameRule("kernel", "weight", "d (h k) -> h k d"), NameRule("bias", "bias", "d -> d"))


def at(path: str, name: str, table: Table) -> list[NameRule]:
    """A layer's table at a path of gen's and at a prefix of the peer's names."""
    return [rule._replace(path=f"{path}/{rule.path}", name=f"{name}.{rule.name}") for rule in table]


def peer_specs(table: Table, specs: Specs) -> dict[str, Spec]:
    """The peer's parameters, by its own names, of a model with these Specs; ValueError for one without a rule."""
    peer: dict[str, Spec] = {}
    for pairs in _arrays(table, spec.flatten(specs)):
        rule, leaf = pairs[0]
        layers = [jax.ShapeDtypeStruct(x.shape[1:] if rule.stacked else x.shape, x.dtype) for _, x in pairs]
        shape = jax.eval_shape(functools.partial(_join, rule), layers).shape
        peer |= dict.fromkeys(rule.names(leaf.shape), Spec(shape, (None,) * len(shape), leaf.init, leaf.dtype))
    return peer


def from_peer(table: Table, specs: Specs, state: State, where: str) -> Params:
    """A peer's arrays as gen's parameters: NumPy arrays of the Specs' shapes and dtypes.

    Raises ValueError naming what is missing, unknown or of another shape in `state`, which `where` describes.
    """
    spec.check(peer_specs(table, specs), state, where)
    return _parameters(table, specs, state, lambda path, leaf, read: read(tuple(map(slice, leaf.shape))))


def place(table: Table, specs: Specs, state: State, shardings: Any) -> Params:
    """A peer's arrays as gen's parameters on a mesh: each device's share is read from where the arrays are mapped.

    `state` has been checked. Specs may have more rows than the peer's arrays: those are zero.
    """
    placed: dict[str, Sharding] = dict(tree.paths(shardings))

    def put(path: str, leaf: Spec, read: Read) -> jax.Array:
        return jax.make_array_from_callback(leaf.shape, placed[path], read, dtype=leaf.dtype)

    return _parameters(table, specs, state, put)


def to_peer(table: Table, params: Params) -> dict[str, np.ndarray]:
    """gen's parameters as the peer's arrays. Raises ValueError for a parameter without a rule."""
    return {name: make() for name, make in peer_arrays(table, params).items()}


def peer_arrays(table: Table, params: Params) -> dict[str, Callable[[], np.ndarray]]:
    """What makes each of the peer's arrays when it is asked for. Raises ValueError for a parameter without a rule."""
    state: dict[str, Callable[[], np.ndarray]] = {}
    for pairs in _arrays(table, dict(tree.paths(params))):
        rule, leaf = pairs[0]
        for layer, name in enumerate(rule.names(leaf.shape)):
            state[name] = functools.partial(_make, rule, [x for _, x in pairs], layer)
    return state


def _arrays[Leaf](table: Table, leaves: Mapping[str, Leaf]) -> list[list[tuple[NameRule, Leaf]]]:
    """The parameters with their rules, those that share an array of the peer together and in its order."""
    rules = {rule.path: rule for rule in table}
    nameless = [path for path in leaves if path not in rules]
    if nameless:
        raise ValueError(
            f"the other implementation has no place for {', '.join(nameless[:8])}; check the model's config"
        )
    together: dict[str, list[tuple[NameRule, Leaf]]] = {}
    for path, leaf in leaves.items():
        together.setdefault(rules[path].name, []).append((rules[path], leaf))
    return [sorted(pairs, key=lambda pair: pair[0].part or 0) for pairs in together.values()]


def _parameters(table: Table, specs: Specs, state: State, put: Callable[[str, Spec, Read], Any]) -> Params:
    params = {}
    for pairs in _arrays(table, spec.flatten(specs)):
        for rule, leaf in pairs:
            params[rule.path] = put(rule.path, leaf, functools.partial(_read, state, rule, len(pairs), leaf))
    return traverse_util.unflatten_dict(params, sep="/")


def _read(state: State, rule: NameRule, parts: int, leaf: Spec, index: Index) -> np.ndarray:
    """What `index` asks of one parameter, from its array or from one array for each layer; zero where they end."""
    array = np.zeros([len(range(size)[cut]) for size, cut in zip(leaf.shape, index, strict=True)], leaf.dtype)
    names, inner = rule.names(leaf.shape), index
    if rule.stacked:
        names, inner = names[index[0]], index[1:]
    for layer, name in enumerate(names):
        piece = _view(state[name], rule, parts, leaf)[inner]
        target = array[layer, ...] if rule.stacked else array
        target[tuple(map(slice, piece.shape))] = piece
    return array


def _view(array: np.ndarray, rule: NameRule, parts: int, leaf: Spec) -> np.ndarray:
    """A peer's array as gen's of one layer; nothing is copied, as patterns only cut and turn axes."""
    peer, gen = rule.pattern.split("->")
    shape = leaf.shape[1:] if rule.stacked else leaf.shape
    sizes = dict(zip(gen.split(), shape if rule.part is None else (parts, *shape), strict=True))
    grouped = " ".join(re.findall(r"\((.*?)\)", peer)).split()
    turned = rearrange(np.asarray(array), rule.pattern, **{axis: sizes[axis] for axis in grouped})
    return turned if rule.part is None else turned[rule.part]


def _make(rule: NameRule, parts: Sequence[Any], layer: int) -> np.ndarray:
    """One array of the peer's."""
    return _join(rule, [np.asarray(x[layer] if rule.stacked else x) for x in parts])


def _join(rule: NameRule, parts: Sequence[Any]) -> Any:
    """The arrays of one layer as the peer's."""
    return rearrange(parts[0] if rule.part is None else list(parts), rule.backward)
