"""The choice of tokens against sorting in NumPy, and draws against probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen.sample.sampling_params import NEG_INF, SamplingParams, sample_token, truncate

VOCAB = 37


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def allowed(logits_V, cfg):
    """Which tokens may be drawn, one row at a time, by sorting."""
    x = logits_V.astype(np.float64)
    alive = np.ones(len(x), bool)
    if cfg.top_k is not None:
        alive &= x >= np.sort(x)[::-1][: cfg.top_k][-1]
    if cfg.top_p < 1:
        best = np.flatnonzero(alive)[np.argsort(-x[alive], kind="stable")]
        reached = np.cumsum(softmax(x[best])) >= cfg.top_p
        alive &= x >= x[best[reached.argmax()]]
    p = softmax(np.where(alive, x, -np.inf))
    return alive & (p >= cfg.min_p * p.max())


def rows():
    draw = np.random.default_rng(0)
    random = draw.normal(size=(5, VOCAB)) * 3 - 4  # negative, most of them
    tied = draw.integers(-2, 3, size=(3, VOCAB)) * 1.0
    masked = np.where(draw.uniform(size=(2, VOCAB)) < 0.7, -1e30, draw.normal(size=(2, VOCAB)))
    zeros = np.where(np.arange(VOCAB) % 3 == 0, -0.0, np.where(np.arange(VOCAB) % 3 == 1, 0.0, -5.0))
    return np.concatenate([random, tied, masked, zeros[None]]).astype(np.float32)


@pytest.mark.parametrize(
    "cfg",
    [
        SamplingParams(),
        SamplingParams(top_k=1),
        SamplingParams(top_k=5),
        SamplingParams(top_k=VOCAB + 1),
        SamplingParams(top_p=0.62),
        SamplingParams(top_p=1e-6),
        SamplingParams(min_p=0.07),
        SamplingParams(min_p=1.0),
        SamplingParams(top_k=9, top_p=0.71, min_p=0.05),
    ],
    ids=str,
)
def test_what_is_left_is_what_sorting_leaves(cfg):
    logits_BV = rows()
    left_BV = np.asarray(truncate(jnp.asarray(logits_BV), cfg))
    expected_BV = np.stack([allowed(row, cfg) for row in logits_BV])
    np.testing.assert_array_equal(left_BV, np.where(expected_BV, logits_BV, np.float32(NEG_INF)))


def test_infinitely_bad_tokens_are_not_drawn():
    logits = jnp.array([[-jnp.inf, 1.0, -jnp.inf, 2.0]] * 20)
    drawn = sample_token(logits, None, jax.random.split(jax.random.key(0), 20), SamplingParams(top_p=0.99))
    assert set(np.asarray(drawn).tolist()) == {1, 3}


@pytest.mark.parametrize(
    "cfg",
    [SamplingParams(), SamplingParams(temperature=0.5, top_k=6), SamplingParams(temperature=2.0, top_p=0.8)],
    ids=str,
)
def test_tokens_are_drawn_as_often_as_they_are_probable(cfg):
    count, logits_V = 8000, np.random.default_rng(1).normal(size=12).astype(np.float32) * 2
    key_B = jax.random.split(jax.random.key(0), count)
    drawn_B = np.asarray(sample_token(jnp.tile(logits_V, (count, 1)), None, key_B, cfg))
    scaled_V = logits_V / cfg.temperature
    p_V = softmax(np.where(allowed(scaled_V, cfg), scaled_V.astype(np.float64), -np.inf))
    seen_V = np.bincount(drawn_B, minlength=12)
    assert (seen_V[p_V == 0] == 0).all()
    likely = p_V > 0
    chi_square = (np.square(seen_V - count * p_V)[likely] / (count * p_V[likely])).sum()
    degrees = likely.sum() - 1
    assert chi_square < degrees + 4 * np.sqrt(2 * degrees)  # its mean and four of its standard deviations


def test_the_penalty_makes_seen_tokens_less_likely_whatever_their_sign():
    logits = jnp.array([[2.0, 1.9, -3.0], [-1.0, -1.1, -9.0], [0.0, -0.1, -9.0]])
    seen = jnp.array([[True, False, False]] * 3)
    key_B = jax.random.split(jax.random.key(0), 3)
    best = lambda penalty: np.asarray(
        sample_token(logits, seen, key_B, SamplingParams(temperature=0.0, penalty=penalty))
    ).tolist()
    assert best(1.0) == [0, 0, 0]
    assert best(1.3) == [1, 1, 0]  # 2 / 1.3 < 1.9 and -1 * 1.3 < -1.1, but 0 stays 0
    assert np.asarray(sample_token(logits, None, key_B, SamplingParams(temperature=0.0, penalty=1.3))).tolist() == [
        0,
        0,
        0,
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_k": 0},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"min_p": 2.0},
        {"penalty": 0.0},
    ],
)
def test_settings_that_make_no_sense_are_named(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=f"^{name}=.* must be "):
        SamplingParams(**settings)


def test_a_temperature_next_to_nothing_takes_the_best():
    keys = jax.random.split(jax.random.key(0), 1)
    for temperature in (0.0, 1e-39, 1e-8):
        assert sample_token(jnp.array([[1.0, 5.0, 3.0]]), None, keys, SamplingParams(temperature=temperature)) == 1
