"""Sampling: one scan from noise to data, whatever the network, solver or guidance.

Shapes: B batch, N times; x has shape (B, ...) of any rank.

    denoise = lambda x, t_B: unet(params, x, t_B, cfg)
    x0 = sample(denoise, x_T, respaced(50, 1000), process, ddim(eta=0.0), key_B, clip=1.0)
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Num

from gen.diffusion.level import Level, over
from gen.diffusion.prediction import Denoise, Prediction, convert
from gen.diffusion.process import Process
from gen.diffusion.solvers import Estimate, Solver


def estimate(prediction: Prediction, x: Float[Array, "B ..."], level: Level, kind: str, clip: float | None) -> Estimate:
    """x0 and eps as a prediction of `kind` says, in float32; `clip` bounds x0 to [-clip, clip], and eps follows it."""
    value = prediction.value.astype(jnp.float32)
    x0 = convert(value, x, level, kind, "x0")
    if clip is None:
        return Estimate(x, x0, convert(value, x, level, kind, "eps"), prediction)
    x0 = jnp.clip(x0, -clip, clip)
    return Estimate(x, x0, convert(x0, x, level, "x0", "eps"), prediction)


def sample(
    denoise: Denoise,
    x_T: Float[Array, "B ..."],
    times_N: Num[Array | np.ndarray, "N"],
    process: Process,
    solver: Solver,
    key_B: Key[Array, "B"],
    *,
    clip: float | None,
) -> Float[Array, "B ..."]:
    """Takes x_T from the first of `times` through the others to clean data, in one `lax.scan`.

    x_T: standard normal noise.
    times_N: descending times of the process (see gen.diffusion.spacing); the step from the last goes to clean data.
    key_B: one key per example; step i of an example draws from fold_in(key, i), so a sample does not depend on which
      others are in its batch.
    clip: the largest magnitude that data has, to which every x0 on the way is clipped, or None.
    """
    times_N = jnp.asarray(times_N)
    next_N = jnp.append(times_N[1:], jnp.asarray(process.clean, times_N.dtype))

    def step(x, now):
        i, t, s = now
        t_B = jnp.full(len(x), t)
        level_t, level_s = over(x, process.level(t_B)), over(x, process.level(jnp.full(len(x), s)))
        prediction = denoise(x, t_B)
        step_key_B = jax.vmap(jax.random.fold_in, in_axes=(0, None))(key_B, i)
        return solver(estimate(prediction, x, level_t, process.predicts, clip), level_t, level_s, step_key_B), None

    x0, _ = jax.lax.scan(step, x_T, (jnp.arange(len(times_N)), times_N, next_N))
    return x0
