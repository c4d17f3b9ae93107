"""Classifier-free guidance: away from what the network says without the condition (arXiv 2207.12598).

    guided = unconditional + guidance_scale (conditional - unconditional)

so scale 1 means none. All kinds of prediction are affine in x0 for a given x, so guiding any of them guides x0.

    def both(x2, t2):                                     # one call of the network on 2B rows
        return unet(params, x2, t2, jnp.concatenate([null_context, context]), cfg)
    denoise = classifier_free(both, guidance_scale=4.0)
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from gen.diffusion.prediction import Denoise, Prediction


def classifier_free(denoise_both: Denoise, guidance_scale: float | Float[Array, ""]) -> Denoise:
    """A guided denoiser from one that takes 2B rows, of which the first B must be treated as unconditional.

    Only the value is guided; a learned variance is that of the conditional rows, as in GLIDE (arXiv 2112.10741).
    """

    def denoise(x, t_B):
        both = denoise_both(jnp.concatenate([x, x]), jnp.concatenate([t_B, t_B]))
        unconditional, conditional = jnp.split(both.value.astype(jnp.float32), 2)
        value = unconditional + guidance_scale * (conditional - unconditional)
        return Prediction(value, None if both.variance is None else jnp.split(both.variance, 2)[1])

    return denoise
