"""How many floating-point operations a function does, counted in its jaxpr.

Only matrix products and convolutions count, at two operations for each multiplication with its addition, as in model
FLOPs utilisation (Chowdhery et al. 2022, arXiv 2204.02311, appendix B). What is computed again under remat counts
again, and a kernel of attention counts for all pairs of a query and a key, whether they are seen or not.

    work = count(step, state, frozen, batch, key)       # arrays or jax.ShapeDtypeStruct; nothing is computed
    work.flops                                          # 6 x parameters x tokens, and attention, for a transformer
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn
from jax.interpreters.partial_eval import dce_jaxpr


class Work(NamedTuple):
    """`flops` in all. `loops` is how many `while` loops hold some of them, each counted as if it ran once.

    How often a `while` loop runs is known only to its run. A scan, or a fori_loop of known length, counts in full.
    """

    flops: int
    loops: int = 0

    def plus(self, other: "Work") -> "Work":
        return Work(self.flops + other.flops, self.loops + other.loops)


def count(fn: Callable, *args: Any) -> Work:
    """The work of one call of `fn`, jitted or not, without what no output needs; of all devices together."""
    return of_program(jax.make_jaxpr(fn)(*args))


def of_program(program: ClosedJaxpr) -> Work:
    """The work of one run of a traced program, without what no output needs."""
    needed, _ = dce_jaxpr(program.jaxpr, [True] * len(program.jaxpr.outvars))
    return of_jaxpr(needed)


def of_jaxpr(jaxpr: Jaxpr) -> Work:
    return functools.reduce(Work.plus, map(of_equation, jaxpr.eqns), Work(0))


def of_equation(equation: JaxprEqn) -> Work:
    if equation.primitive.name == "dot_general":
        return Work(dot(equation))
    if equation.primitive.name == "conv_general_dilated":
        return Work(convolution(equation))
    if equation.primitive.name.startswith("dot_product_attention"):
        return Work(cudnn_attention(equation))
    parts = [of_jaxpr(jaxpr) for jaxpr in inner(equation)]
    if equation.primitive.name == "cond":
        return max(parts)  # one branch runs; which one is not known here
    work = functools.reduce(Work.plus, parts, Work(0))
    if equation.primitive.name == "while" and work.flops:
        return work._replace(loops=work.loops + 1)
    return work._replace(flops=work.flops * repeats(equation))


def repeats(equation: JaxprEqn) -> int:
    """How often the body of an equation runs, on all devices together."""
    match equation.primitive.name:
        case "scan":
            return equation.params["length"]
        case "shard_map":  # its body is what one device does along these axes
            axes = next(axes for name, axes in equation.params.items() if name.endswith("manual_axes"))
            return math.prod(equation.params["mesh"].shape[axis] for axis in axes)
        case "pallas_call":
            return math.prod(equation.params["grid_mapping"].grid)
    return 1


def inner(equation: JaxprEqn) -> Iterator[Jaxpr]:
    """The functions that an equation calls: bodies, branches, what is under jit, remat or a custom derivative."""
    for value in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: isinstance(x, Jaxpr | ClosedJaxpr)):
        if isinstance(value, Jaxpr | ClosedJaxpr):
            yield value.jaxpr if isinstance(value, ClosedJaxpr) else value


def dot(equation: JaxprEqn) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = shape(equation.invars[0])
    return 2 * math.prod(shape(equation.outvars[0])) * math.prod(left[axis] for axis in contracted)


def convolution(equation: JaxprEqn) -> int:
    """Each output is a sum over the kernel's taps and the input channels of its group.

    Gradients of strided convolutions are dilated ones. A dilated input has zeros between its pixels, so that only one
    tap in `lhs_dilation` counts; a dilated kernel has no taps between its own.
    """
    kernel = shape(equation.invars[1])
    axes = equation.params["dimension_numbers"].rhs_spec  # output channels, input channels of a group, then space
    sums = math.prod(shape(equation.outvars[0])) * math.prod(kernel[axis] for axis in axes[1:])
    return 2 * sums // math.prod(equation.params["lhs_dilation"])


def cudnn_attention(equation: JaxprEqn) -> int:
    """Scores and what they weight; backward makes the scores again, and two gradients of each product."""
    (batch, queries, heads, width), (_, keys, *_) = shape(equation.invars[0]), shape(equation.invars[1])
    products = 5 if "bwd" in equation.primitive.name else 2
    return 2 * products * batch * heads * queries * keys * width


def shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape
