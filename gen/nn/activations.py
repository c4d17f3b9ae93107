"""Activation functions by the names that configs use."""

from collections.abc import Callable
from typing import Literal

import jax
from jaxtyping import Array

Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "silu", "relu"]

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),  # OpenAI's CLIP
    "silu": jax.nn.silu,
    "relu": jax.nn.relu,
}
