"""A model's parameters as data: one tree of Specs, many uses.

Each layer declares its parameters as a nested dict of `Spec(shape, axes, init, dtype)`. From that one tree come
initialisation, shardings, abstract shapes, the parameter table, memory plans and the check of imported weights.

    specs = {"kernel": Spec((512, 2048), ("embed", "mlp"), normal(0.02))}
    params = initialize(specs, jax.random.key(0))
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Key

from gen import rng, tree
from gen.messages import bare

# What activations are computed in; parameters are stored in float32.
Dtype = Literal["float32", "bfloat16"]

Init = Callable[[Key[Array, ""], tuple[int, ...], DTypeLike], Array]


@dataclasses.dataclass(frozen=True)
class Spec:
    """One parameter: its shape, a logical axis (or None) for each dimension, how it starts, and its dtype."""

    shape: tuple[int, ...]
    axes: tuple[str | None, ...]
    init: Init
    dtype: DTypeLike = jnp.float32

    def __post_init__(self):
        if len(self.shape) != len(self.axes):
            raise ValueError(f"a Spec needs an axis name (or None) per dimension: shape {self.shape}, axes {self.axes}")


class Matrix(NamedTuple):
    """Which dimensions of a weight are the inputs of a linear map and which its outputs; the first ones, `each`, count
    its layers and experts, of which every one has a matrix."""

    each: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def matrix(s: Spec) -> Matrix | None:
    """How a weight is a matrix; None for a vector, a bias of heads, a number.

    What reads the stream of width `embed` has it first, and all others are outputs: (D, H, K) maps D to H x K. In
    other weights the last is the output: (H, K, D) maps H x K to D, and a kernel (rows, columns, in, out) patches to
    channels.
    """
    own = tuple(i for i, axis in enumerate(s.axes) if axis not in ("layers", "expert"))
    if len(own) < 2 or not {"embed", "conv_in", "conv_out"} & set(s.axes):
        return None
    cut = 1 if s.axes[own[0]] == "embed" else len(own) - 1
    return Matrix(tuple(range(len(s.shape) - len(own))), own[:cut], own[cut:])


# Nested dicts; Any, because the run-time type checker does not follow recursive types deeper than one level.
type Specs = Mapping[str, Any]  # of Spec
type Params = Mapping[str, Any]  # of arrays: jax.Array, np.ndarray or jax.ShapeDtypeStruct


def normal(stddev: float) -> Init:
    """Independent draws from N(0, stddev^2); drawn flat, which compiles faster and gives the same bits."""
    if stddev == 0:
        return zeros
    return lambda key, shape, dtype: (
        stddev * jax.random.normal(key, (math.prod(shape),), jnp.float32).reshape(shape)
    ).astype(dtype)


def constant(value: float) -> Init:
    return lambda key, shape, dtype: jnp.full(shape, value, dtype)


zeros = constant(0.0)
ones = constant(1.0)


def _is_spec(x) -> bool:
    return isinstance(x, Spec)


def initialize(specs: Specs, key: Key[Array, ""]) -> Params:
    """Draws every parameter from a key folded with its own path: adding one parameter moves no other."""
    return tree.map_with_path(lambda path, s: s.init(rng.fold(key, path), s.shape, s.dtype), specs, is_leaf=_is_spec)


def abstract(specs: Specs) -> Params:
    """The parameters' shapes and dtypes, without allocating anything."""
    return jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype), specs, is_leaf=_is_spec)


def stack(specs: Specs, layers: int) -> Specs:
    """The Specs of `layers` equal blocks, stored stacked along a leading `layers` axis for `lax.scan`.

    Initialisers draw elements independently, so a stacked draw has the distribution of separate ones.
    """
    return jax.tree.map(
        lambda s: dataclasses.replace(s, shape=(layers, *s.shape), axes=("layers", *s.axes)), specs, is_leaf=_is_spec
    )


def count(specs: Specs) -> int:
    """The number of parameters."""
    return sum(math.prod(s.shape) for s in jax.tree.leaves(specs, is_leaf=_is_spec))


def flatten(specs: Specs) -> dict[str, Spec]:
    """{path: Spec}, in order."""
    return dict(tree.paths(specs, is_leaf=_is_spec))


def check(specs: Specs, params: Params, where: str) -> None:
    """Raises ValueError naming what is missing, unknown or of another shape in `params` (weights from elsewhere)."""
    want = flatten(specs)
    have = dict(tree.paths(params))
    problems = [f"{path} is missing" for path in want if path not in have]
    problems += [f"{bare(path)} is unknown" for path in have if path not in want]
    problems += [
        f"{path} has shape {tuple(have[path].shape)}, expected {s.shape}"
        for path, s in want.items()
        if path in have and tuple(have[path].shape) != s.shape
    ]
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" if len(problems) > 8 else "")
        raise ValueError(f"the weights in {where} do not fit the model: {shown}")
