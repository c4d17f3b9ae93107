import jax.numpy as jnp
import numpy as np
import pytest

from gen.diffusion.schedules import SCHEDULES, alpha_bar, linear_betas

# Printed by other implementations of the same schedules, which sum in float32.
KNOWN = {
    "cosine": {0: 0.999959, 1: 0.999913, 500: 0.492285, 998: 2.42877e-6, 999: 2.42873e-9},
    "scaled_linear": {0: 0.99915, 1: 0.998296, 500: 0.276332, 999: 0.0046601},
}


@pytest.mark.parametrize("name", KNOWN)
def test_alpha_bar_has_the_known_values(name):
    abar = alpha_bar(SCHEDULES[name].betas(1000))
    for i, value in KNOWN[name].items():
        np.testing.assert_allclose(abar[i], value, rtol=3e-6 if value < 0.1 else 0, atol=1e-6)


def test_scaled_linear_spans_the_known_sigmas():
    abar = alpha_bar(SCHEDULES["scaled_linear"].betas(1000))
    np.testing.assert_allclose(np.sqrt(1 / abar - 1)[[0, -1]], [0.029168, 14.614647], rtol=4e-5)


def test_linear_is_scaled_to_the_number_of_steps():
    np.testing.assert_allclose(linear_betas(1000)[[0, -1]], [1e-4, 0.02])
    np.testing.assert_allclose(linear_betas(250)[[0, -1]], [4e-4, 0.08])


def test_continuous_cosine_is_the_discrete_one_at_every_step():
    t = (np.arange(1000) + 1) / 1000
    continuous = SCHEDULES["cosine"].log_alpha_bar(jnp.asarray(t, jnp.float32))
    discrete = np.cumsum(np.log1p(-SCHEDULES["cosine"].betas(1000)))
    # Relative, so also for log(alpha^2) of 4e-5; float32 times near 1 leave 1 - t inexact.
    np.testing.assert_allclose(continuous[:900], discrete[:900], rtol=4e-6)
    np.testing.assert_allclose(continuous[900:], discrete[900:], atol=2e-4)


@pytest.mark.parametrize("name", ["linear", "scaled_linear"])
def test_discrete_schedules_approach_continuous_time_with_order_one(name):
    limit = SCHEDULES[name].log_alpha_bar(jnp.asarray([0.25, 0.5, 1.0]))

    def error(steps):
        log_abar = np.cumsum(np.log1p(-SCHEDULES[name].betas(steps)))
        return np.abs(log_abar[[steps // 4 - 1, steps // 2 - 1, steps - 1]] - limit)

    np.testing.assert_allclose(error(1000) / error(2000), 2, rtol=0.05)
