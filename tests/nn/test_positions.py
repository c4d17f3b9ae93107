import jax
import jax.numpy as jnp
import numpy as np

from gen import spec
from gen.nn.positions import timestep_embedding, timestep_features, timestep_spec


def features(t, width):
    """Cosines, then sines, of wavelengths from 2 pi towards 20,000 pi, in float64."""
    half = width // 2
    angles = np.multiply.outer(np.float64(t), 10_000.0 ** (-np.arange(half) / half))
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=-1)


def test_timestep_features_are_cosines_then_sines():
    t = np.array([0, 1, 37, 999])
    np.testing.assert_allclose(timestep_features(jnp.asarray(t), 64), features(t, 64), atol=2e-4)  # float32 at 999


def test_fractional_times_lie_between_whole_ones():
    np.testing.assert_allclose(timestep_features(jnp.array([2.5]), 8), features([2.5], 8), atol=1e-6)


def test_the_embedding_is_linear_silu_linear():
    params = jax.tree.map(lambda x: x + 0.1, spec.initialize(timestep_spec(8, 12), jax.random.key(0)))
    p = jax.tree.map(np.float64, params)
    h = features([5, 60], 8) @ p["in"]["kernel"] + p["in"]["bias"]
    expected = h / (1 + np.exp(-h)) @ p["out"]["kernel"] + p["out"]["bias"]
    np.testing.assert_allclose(timestep_embedding(params, jnp.array([5, 60]), 8), expected, rtol=1e-4, atol=1e-5)
