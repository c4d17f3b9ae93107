"""How well the compiler does: its time against a model's depth, and its convolutions against ours.

measure_depths(repeats=3)          # trace, lower and compile a transformer of 4 layers and one of 48
"""

import functools

import jax
import jax.numpy as jnp

from gen import flops, spec
from gen.nn.conv import large_convolution, plain_convolution
from gen.nn.transformer import TransformerConfig, transformer, transformer_spec
from launch.bench.timing import Figure, medians, product, product_flops

DEPTHS = (4, 48)

# Batch, rows, columns and channels of 3 x 3 convolutions, from small U-Nets to DALL-E 2's decoder.
CONVOLUTIONS = ((64, 4, 4, 128), (64, 8, 8, 96), (64, 16, 16, 64), (8, 64, 64, 128), (2, 64, 64, 320))


def measure_depths(repeats: int) -> list[Figure]:
    """Trace, lower and compile the loss and gradient of a transformer at each of DEPTHS."""
    taken = medians([functools.partial(compile_transformer, layers) for layers in DEPTHS], repeats)
    return [Figure(f"compile {layers} layers", seconds) for layers, seconds in zip(DEPTHS, taken, strict=True)]


def compile_transformer(layers: int) -> None:
    cfg = TransformerConfig(width=128, layers=layers, heads=4, causal=True)
    params, x_BTD = spec.abstract(transformer_spec(cfg)), jax.ShapeDtypeStruct((4, 64, cfg.width), jnp.float32)

    def loss(params, x_BTD):
        return jnp.square(transformer(params, x_BTD, cfg)).mean()

    jax.jit(jax.value_and_grad(loss, argnums=(0, 1))).lower(params, x_BTD).compile()


def measure_convolutions(repeats: int) -> list[Figure]:
    """Forward and backward of the convolutions: with XLA's kernel gradient, and with one product for each tap."""
    figures = []
    for shape in CONVOLUTIONS:
        x_BYXC = jax.random.normal(jax.random.key(0), shape)
        kernel = jax.random.normal(jax.random.key(1), (3, 3, shape[-1], shape[-1]))
        calls = [both_ways(convolution, x_BYXC, kernel) for convolution in (plain_convolution, large_convolution)]
        *taken, beside = medians([*calls, product("float32")], repeats)
        work = flops.count(calls[0]).flops
        name = "x".join(map(str, shape))
        for kind, seconds in zip(("XLA's gradient", "by taps"), taken, strict=True):
            figures.append(Figure(f"convolution {name}, {kind}", seconds, work, shape[0], product_flops() / beside))
    return figures


def both_ways(convolution, x_BYXC: jax.Array, kernel: jax.Array):
    """A call that computes the convolution and both its gradients."""

    def run(x_BYXC, kernel):
        y_BYXC, pull_back = jax.vjp(lambda *a: convolution(*a, 1), x_BYXC, kernel)
        return y_BYXC, pull_back(jnp.cos(y_BYXC))

    compiled = jax.jit(run)
    return lambda: compiled(x_BYXC, kernel)
