"""Contrastive losses over all pairs of a batch, exact also where the batch is spread over devices.

    softmax  (CLIP, arXiv 2103.00020):    cross-entropy of the matching pair, over rows and over columns, halved
    sigmoid  (SigLIP, arXiv 2303.15343):  -log sigmoid(+-(logits)) summed over all B^2 pairs, per row

Both return one loss per row, whose mean over the batch is the published loss.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen import mesh


def similarities(image_BE: Float[Array, "B E"], text_BE: Float[Array, "B E"]) -> Float[Array, "B B"]:
    """Cosine similarities in float32; each device computes its images' rows against every caption."""
    everywhere_BE = mesh.shard(text_BE, None, None)
    return jnp.einsum("ie,je->ij", image_BE, everywhere_BE, precision="highest", preferred_element_type=jnp.float32)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def at_most(x: Float[Array, ""], top: float) -> Float[Array, ""]:
    """min(x, top), whose gradient above the top is kept where it leads down: a parameter that met it can come back.

    CLIP clips its parameter after each step; min alone would give it no gradient ever after.
    """
    return jnp.minimum(x, top)


def _at_most_forward(x, top):
    return at_most(x, top), x


def _at_most_backward(top, x, cotangent):
    return (jnp.where((x <= top) | (cotangent > 0), cotangent, 0.0),)


at_most.defvjp(_at_most_forward, _at_most_backward)


def softmax(logits_BB: Float[Array, "B B"]) -> Float[Array, "B"]:
    matching_B = jnp.diagonal(logits_BB)
    by_image_B = jax.nn.logsumexp(logits_BB, axis=1) - matching_B
    by_text_B = jax.nn.logsumexp(logits_BB, axis=0) - matching_B
    return (by_image_B + by_text_B) / 2


def sigmoid(logits_BB: Float[Array, "B B"]) -> Float[Array, "B"]:
    # softplus of every pair as if none matched, then the diagonal set right
    return jax.nn.softplus(logits_BB).sum(1) - jnp.diagonal(logits_BB)
