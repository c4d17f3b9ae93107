import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen.diffusion.prediction import KINDS
from gen.diffusion.process import Process
from gen.diffusion.schedules import SCHEDULES, alpha_bar

KIND_PAIRS = list(itertools.product(KINDS, KINDS))


def pair(rows, seed=0):
    x0, noise = np.random.default_rng(seed).standard_normal((2, rows, 3)).astype(np.float32)
    return jnp.asarray(x0), jnp.asarray(noise)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_alpha_and_sigma_keep_full_precision_at_every_step(schedule):
    process = Process(schedule, 1000, "eps")
    t = jnp.arange(1000)
    log_abar = np.cumsum(np.log1p(-SCHEDULES[schedule].betas(1000)))
    np.testing.assert_allclose(process.alpha(t), np.exp(log_abar / 2), rtol=1e-6)
    np.testing.assert_allclose(process.sigma(t), np.sqrt(-np.expm1(log_abar)), rtol=1e-6)
    np.testing.assert_allclose(process.logsnr(t), log_abar - np.log(-np.expm1(log_abar)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("steps", [1000, None])
def test_the_clean_time_is_clean(steps):
    process = Process("cosine", steps, "eps")
    level = process.level(jnp.asarray([process.clean]))
    assert (level.alpha[0], level.sigma[0], level.logsnr[0]) == (1, 0, np.inf)


@pytest.mark.parametrize(("schedule", "tolerance"), [("cosine", 2e-5), ("linear", 0.1), ("scaled_linear", 4e-2)])
def test_discrete_and_continuous_time_agree(schedule, tolerance):
    discrete, continuous = Process(schedule, 1000, "eps"), Process(schedule, None, "eps")
    i = jnp.asarray([0, 9, 99, 499, 899])
    logsnr = continuous.logsnr((i + 1) / 1000)
    np.testing.assert_allclose(discrete.logsnr(i), logsnr, atol=tolerance)


def test_corrupt_mixes_data_and_noise():
    process = Process("cosine", 1000, "eps")
    x0, noise = pair(5)
    t = jnp.asarray([0, 1, 500, 998, 999])
    abar = alpha_bar(SCHEDULES["cosine"].betas(1000))[t][:, None]
    expected = np.sqrt(abar) * np.float64(x0) + np.sqrt(1 - abar) * np.float64(noise)
    np.testing.assert_allclose(process.corrupt(x0, noise, t), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("steps", "times"),
    [(1000, [0, 1, 500, 998, 999]), (None, [1e-4, 1e-2, 0.5, 0.99, 1.0])],
    ids=["discrete", "continuous"],
)
def test_every_kind_converts_to_every_other_and_back(steps, times):
    t = jnp.asarray(times)
    x0, noise = pair(len(times))
    process = Process("cosine", steps, "eps")

    @jax.jit
    def everything():
        x_t = process.corrupt(x0, noise, t)
        exact = {kind: Process("cosine", steps, kind).target(x0, noise, t) for kind in KINDS}
        there = {(a, b): process.convert(exact[a], x_t, t, a, b) for a, b in KIND_PAIRS}
        return exact, there, {(a, b): process.convert(there[a, b], x_t, t, b, a) for a, b in KIND_PAIRS}

    exact, there, back = everything()
    alpha, sigma = np.float64(process.alpha(t))[:, None], np.float64(process.sigma(t))[:, None]
    # What rounding of x_t alone must cost: x0 is divided by alpha, eps by sigma, the score by sigma again.
    cost = 2e-6 * (1 / alpha + 1 / sigma)
    scale = {kind: 1 / sigma if kind == "score" else 1 for kind in KINDS}
    for a, b in KIND_PAIRS:
        assert (np.abs(there[a, b] - exact[b]) <= cost * scale[b]).all(), f"{a} to {b}"
        assert (np.abs(back[a, b] - exact[a]) <= 2 * cost * scale[a]).all(), f"{a} to {b} and back"


def test_targets_are_those_of_the_papers():
    x0, noise = pair(1)
    t = jnp.asarray([300])
    a, s = np.float64(Process("linear", 1000, "v").alpha(t)), np.float64(Process("linear", 1000, "v").sigma(t))
    expected = {"x0": x0, "eps": noise, "v": a * noise - s * x0, "score": -np.asarray(noise) / s}
    for kind, value in expected.items():
        np.testing.assert_allclose(Process("linear", 1000, kind).target(x0, noise, t), value, rtol=1e-6, atol=1e-6)


def test_jit_can_close_over_a_process_or_take_it_as_static():
    process = Process("cosine", 1000, "eps")
    assert process == Process("cosine", 1000, "eps") and hash(process) == hash(Process("cosine", 1000, "eps"))
    alpha = jax.jit(lambda process, t: process.alpha(t), static_argnums=0)
    np.testing.assert_allclose(alpha(process, jnp.asarray([500])), 0.492285**0.5, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cosin", 1000, "eps"), "schedule='cosin' is not a noise schedule; use one of linear, scaled_linear, cosine"),
        (("cosine", 1000, "epsilon"), "predicts='epsilon' is not a kind of prediction; use one of x0, eps, v, score"),
        (("linear", 20, "eps"), "steps=20 is too few for the linear schedule"),
        (("cosine", 0, "eps"), "steps=0 must be at least 1"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Process(*arguments)
