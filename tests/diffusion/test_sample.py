import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import rng
from gen.diffusion import posterior, spacing
from gen.diffusion.level import over
from gen.diffusion.prediction import Prediction
from gen.diffusion.process import Process
from gen.diffusion.sampling import estimate, sample
from gen.diffusion.solvers import ddim, ddpm

PROCESS = Process("cosine", 1000, "x0")
TIMES = spacing.respaced(4, 1000)


def keys(rows):
    return rng.per_example(jax.random.key(7), jnp.asarray(rows))


def halve(x, t_B):
    return Prediction(x / 2)


@pytest.mark.parametrize("shape", [(4,), (4, 4, 3)], ids=["vectors", "images"])
def test_a_sample_does_not_depend_on_the_rest_of_its_batch(shape):
    @jax.jit
    def run(rows):
        x_T = rng.normal(keys(rows), shape)
        return sample(halve, x_T, TIMES, PROCESS, ddpm(posterior.fixed_large), keys(rows), clip=1.0)

    together, other = run(jnp.asarray([0, 1, 2])), run(jnp.asarray([2, 5, 7]))
    np.testing.assert_array_equal(together[2], other[0])
    assert not np.array_equal(together[1], other[1])


def test_every_step_draws_its_own_noise():
    drawn = []

    def remember(now, t, s, key_B):
        jax.debug.callback(lambda key: drawn.append(key.tobytes()), jax.random.key_data(key_B))
        return now.x

    sample(halve, jnp.ones((2, 3)), TIMES, PROCESS, remember, keys([0, 1]), clip=None)
    jax.effects_barrier()
    assert len(set(drawn)) == len(TIMES)


def test_the_network_sees_each_time_and_the_last_step_goes_to_clean_data():
    times, levels = [], []

    def denoise(x, t_B):
        jax.debug.callback(lambda t: times.append(t.tolist()), t_B)
        return Prediction(x)

    def solver(now, t, s, key_B):
        jax.debug.callback(lambda sigma: levels.append(float(sigma)), s.sigma[0, 0])
        return now.x0

    sample(denoise, jnp.ones((2, 3)), TIMES, PROCESS, solver, keys([0, 1]), clip=None)
    jax.effects_barrier()
    assert sorted(times, reverse=True) == [[t, t] for t in TIMES.tolist()]
    np.testing.assert_allclose(sorted(levels, reverse=True), [*PROCESS.sigma(jnp.asarray(TIMES[1:])), 0], rtol=1e-6)


@pytest.mark.parametrize("kind", ["x0", "eps", "v"])
def test_clipping_bounds_x0_and_derives_eps_again(kind):
    x, t_B = jnp.asarray([[0.5, -2.0, 3.0]]), jnp.asarray([400])
    process = Process("cosine", 1000, kind)
    level = over(x, process.level(t_B))
    value = process.convert(jnp.asarray([[0.2, -1.5, 4.0]]), x, t_B, "x0", kind)
    now = estimate(Prediction(value), x, level, kind, clip=1.0)
    np.testing.assert_allclose(now.x0, [[0.2, -1.0, 1.0]], rtol=1e-5)
    np.testing.assert_allclose(level.alpha * now.x0 + level.sigma * now.eps, x, rtol=1e-5)


def test_a_network_in_bfloat16_is_sampled_in_float32():
    def low(x, t_B):
        return Prediction((x / 2).astype(jnp.bfloat16))

    x0 = sample(low, jnp.ones((1, 3)), TIMES, PROCESS, ddim(eta=0.0), keys([0]), clip=None)
    assert x0.dtype == jnp.float32
