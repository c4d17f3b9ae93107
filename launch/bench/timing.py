"""Median times of calls that take turns with a large matrix product, so that both meet the same noise.

figure = measure("decoder, step", call, flops=2_000_000, rows=64, repeats=5)
figure.seconds, figure.flops / figure.seconds / figure.matmul
"""

import functools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

type Call = Callable[[], Any]


class Figure(NamedTuple):
    """What one call takes (a median, in seconds), computes, and makes of `rows` pictures; 0 where that says nothing.

    `matmul` is the FLOP/s of a large float32 matrix product, added up over all devices.
    """

    name: str
    seconds: float
    flops: int = 0
    rows: int = 0
    matmul: float = 0.0


def measure(name: str, call: Call, flops: int, rows: int, repeats: int) -> Figure:
    taken, beside = medians([call, product("float32")], repeats)
    return Figure(name, taken, flops, rows, product_flops() / beside * len(jax.devices()))


def measure_matmul(dtype: str, repeats: int) -> Figure:
    """The product itself, on one device."""
    (taken,) = medians([product(dtype)], repeats)
    return Figure(f"matmul, {dtype}", taken, product_flops())


def medians(calls: Sequence[Call], repeats: int) -> list[float]:
    """Seconds of each call; they take turns `repeats` times, after one turn that compiles and is not timed."""
    turns = [[seconds(call) for call in calls] for _ in range(repeats + 1)]
    return [statistics.median(times) for times in zip(*turns[1:], strict=True)]


def seconds(call: Call) -> float:
    began = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - began


def product_size() -> int:
    return 2048 if jax.default_backend() == "cpu" else 8192


def product_flops() -> int:
    return 2 * product_size() ** 3


@functools.cache
def product(dtype: str) -> Call:
    """A square matrix product on one device, at jax's default precision (on GPUs and TPUs less than float32)."""
    x = jax.random.normal(jax.random.key(0), (product_size(), product_size()), dtype)
    multiply = jax.jit(jnp.matmul)
    return lambda: multiply(x, x)
