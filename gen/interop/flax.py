"""gen's models for users of Flax: as a linen Module, and as Flax's msgpack bytes.

A module's parameters are gen's own tree, so weights of either kind are weights of the other.

    module = Module(clip_spec(cfg), lambda params, tokens_BT: encode_text(params, tokens_BT, cfg))
    variables = module.init(key, tokens_BT)
    text = module.apply(variables, tokens_BT)

    data = to_bytes(variables["params"])
    params = from_bytes(data, clip_spec(cfg), "clip.msgpack")
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax import serialization, traverse_util
from flax.core import unfreeze
from jaxtyping import Array, Key

from gen import spec, tree
from gen.spec import Params, Specs


class FlaxModule(nn.Module):
    """A model as a linen Module: its Specs, and its pure function (params, *inputs) -> outputs."""

    specs: Specs
    function: Callable[..., Any]

    @nn.compact
    def __call__(self, *inputs: Any, **named: Any) -> Any:
        params = {name: self.param(name, self.draw, name) for name in self.specs}
        return self.function(params, *inputs, **named)

    def draw(self, key: Key[Array, ""], name: str) -> Params | Array:
        """One entry at the top of gen's tree, as gen initialises it."""
        return unfreeze(dict(spec.initialize({name: self.specs[name]}, key)))[name]


def to_bytes(params: Params) -> bytes:
    """Parameters as Flax's msgpack bytes."""
    return serialization.to_bytes(jax.device_get(params))


def from_bytes(data: bytes, specs: Specs, where: str) -> Params:
    """Parameters from Flax's msgpack bytes: NumPy arrays of the Specs' shapes and dtypes.

    Raises ValueError naming what is missing, unknown or of another shape; `where` says whose weights they are.
    """
    try:
        params = jax.tree.map(np.asarray, serialization.msgpack_restore(data))
    except Exception as error:  # msgpack has an exception of its own for every kind of damage
        raise ValueError(f"{where} does not hold Flax weights: {error}") from error
    spec.check(specs, params, where)
    arrays = dict(tree.paths(params))
    leaves = {path: np.asarray(arrays[path], leaf.dtype) for path, leaf in spec.flatten(specs).items()}
    return traverse_util.unflatten_dict(leaves, sep="/")
