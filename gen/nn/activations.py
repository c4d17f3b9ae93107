"""Activation functions by the names that configs use."""

from collections.abc import Callable
from typing import Literal

import jax
from jaxtyping import Array, Float

Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "silu", "relu"]

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),  # OpenAI's CLIP
    "silu": jax.nn.silu,
    "relu": jax.nn.relu,
}


def activate(name: Activation, h: Float[Array, "... F"], gate: Float[Array, "... F"] | None = None) -> Array:
    """act(h), or act(gate) h."""
    act = ACTIVATIONS[name]
    return act(h) if gate is None else act(gate) * h
