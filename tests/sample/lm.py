"""A tiny language model with random weights, and what it says by a full forward pass for every token."""

import jax
import jax.numpy as jnp
import numpy as np

from gen import mesh as meshes
from gen.mesh import MeshConfig
from gen.models.lm import LMConfig, lm_spec, logits
from gen.nn.transformer import TransformerConfig
from tests import small

MODEL = LMConfig(
    vocab=259,
    context=32,
    transformer=TransformerConfig(width=16, layers=2, heads=2, causal=True),
    learned_positions=True,
    vocab_multiple=4,
)
SPECS = lm_spec(MODEL)
PARAMS = small.draw(SPECS, 1)


def placed(**mesh):
    """The weights on a mesh, and the mesh; that of one device by default."""
    made = meshes.make(MeshConfig(**mesh), jax.devices() if mesh else jax.devices()[:1])
    return jax.device_put(PARAMS, meshes.shardings(SPECS, made)), made


class Forward:
    """Log-probabilities of every next token, from one program over whole rows."""

    def __init__(self):
        self._log_p = jax.jit(lambda tokens_BT: jax.nn.log_softmax(logits(PARAMS, tokens_BT, MODEL)))

    def log_p(self, tokens):
        """(T, V): row t is what follows the first t + 1 tokens."""
        row_T = np.zeros(MODEL.context, np.int32)
        row_T[: len(tokens)] = tokens
        return np.asarray(self._log_p(jnp.asarray(row_T)[None]))[0, : len(tokens)]

    def greedy(self, tokens, new):
        """The likeliest tokens one after the other."""
        tokens = list(tokens)
        for _ in range(new):
            tokens.append(int(self.log_p(tokens)[-1].argmax()))
        return tokens[-new:]
