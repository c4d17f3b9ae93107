"""Whole sampling trajectories of diffusers' UnCLIPScheduler, from the model outputs and the noise that it saw."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import rng
from gen.diffusion import posterior, solvers
from gen.diffusion.level import over
from gen.diffusion.prediction import Prediction
from gen.diffusion.process import Process
from gen.diffusion.sampling import estimate
from gen.diffusion.spacing import respaced
from tests.peers import assert_same, recorded


def channels_last(x: np.ndarray) -> np.ndarray:
    """Steps of images (N, B, C, Y, X) as gen has them; steps of embeddings (N, B, E) as they are."""
    return np.moveaxis(x, 2, -1)


@pytest.mark.parametrize(
    ("name", "predicts", "variance", "clip"),
    [
        ("prior", "x0", posterior.fixed_small, 5.0),
        ("decoder", "eps", posterior.learned_range, 1.0),
        ("upsampler", "eps", posterior.fixed_small, 1.0),
    ],
)
def test_every_step_lands_where_the_peers_does(monkeypatch, name, predicts, variance, clip):
    _, inputs, outputs = recorded(f"scheduler_{name}")
    model_outputs, noise, trajectory = map(
        channels_last, (inputs["model_outputs"], inputs["noise"], outputs["trajectory"])
    )
    times = respaced(len(noise), 1000)
    np.testing.assert_array_equal(times, inputs["times"])

    process, solver = Process("cosine", 1000, predicts), solvers.ddpm(variance)
    key_B = jax.random.split(jax.random.key(0), noise.shape[1])
    x = jnp.asarray(trajectory[0])
    for i, (t, s) in enumerate(zip(times, [*times[1:], process.clean], strict=True)):
        monkeypatch.setattr(rng, "normal", lambda key_B, shape, i=i: jnp.asarray(noise[i]))
        level_t, level_s = (over(x, process.level(jnp.full(len(x), time))) for time in (t, s))
        channels = noise.shape[-1]
        value, rest = jnp.split(jnp.asarray(model_outputs[i]), [channels], axis=-1)
        prediction = Prediction(value, rest if rest.size else None)
        x = solver(estimate(prediction, x, level_t, predicts, clip), level_t, level_s, key_B)
        assert_same(x, trajectory[i + 1])
