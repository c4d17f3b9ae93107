import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen.losses import policy

GAMMA, LAMBDA = 0.9, 0.8
DRAW = np.random.default_rng(0)
FIRST, LAST = [2, 0, 3, 1], [5, 6, 3, 6]  # the choices of each row, both included
CHOSEN = np.array([[first <= u <= last for u in range(7)] for first, last in zip(FIRST, LAST, strict=True)])
REWARD, VALUE = (DRAW.normal(size=CHOSEN.shape).astype(np.float32) for _ in range(2))


def test_advantages_are_the_sums_of_their_definition():
    """Over each row's own choices, with no value behind the last and whatever stands beside them."""
    expected = np.zeros(CHOSEN.shape)
    for row, (first, last) in enumerate(zip(FIRST, LAST, strict=True)):
        value = np.append(VALUE[row, first : last + 1], 0.0)
        error = REWARD[row, first : last + 1] + GAMMA * value[1:] - value[:-1]
        for u in range(first, last + 1):
            rest = error[u - first :]
            expected[row, u] = (rest * (GAMMA * LAMBDA) ** np.arange(len(rest))).sum()
    got = policy.advantages(jnp.asarray(REWARD), jnp.asarray(VALUE), jnp.asarray(CHOSEN), discount=GAMMA, trace=LAMBDA)
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_without_discount_or_trace_a_return_is_the_reward_to_come():
    got = policy.advantages(jnp.asarray(REWARD), jnp.asarray(VALUE), jnp.asarray(CHOSEN), discount=1.0, trace=1.0)
    to_come = np.cumsum((REWARD * CHOSEN)[:, ::-1], axis=1)[:, ::-1]
    np.testing.assert_allclose((got + VALUE) * CHOSEN, to_come * CHOSEN, atol=1e-6)


def test_whitening_is_over_what_counts_with_biased_variance():
    white = policy.whiten(jnp.asarray(REWARD), jnp.asarray(3.0 * CHOSEN))
    own = REWARD[CHOSEN]
    np.testing.assert_allclose(np.asarray(white)[CHOSEN], (own - own.mean()) / own.std(), rtol=1e-5, atol=1e-6)


# advantage, ratio -> loss, and what its gradient by the ratio is
CASES = [
    (2.0, 1.0, -2.0, -2.0),
    (2.0, 1.1, -2.2, -2.0),
    (2.0, 1.5, -2.4, 0.0),  # better than it was is good enough
    (2.0, 0.5, -1.0, -2.0),  # worse than it was has to be mended, however far
    (-2.0, 0.5, 1.6, 0.0),
    (-2.0, 1.5, 3.0, 2.0),
]


@pytest.mark.parametrize(("advantage", "ratio", "loss", "slope"), CASES)
def test_the_clip_takes_away_what_is_gained_too_far_from_the_old_policy(advantage, ratio, loss, slope):
    old = jnp.full((1, 1), -1.3)
    own = lambda r: policy.policy_loss(jnp.log(r) + old, old, jnp.full((1, 1), advantage), clip=0.2)
    np.testing.assert_allclose(own(ratio)[0][0, 0], loss, rtol=1e-5)
    np.testing.assert_allclose(jax.grad(lambda r: own(r)[0].sum())(ratio), slope, rtol=1e-4, atol=1e-6)
    assert bool(own(ratio)[1][0, 0]) == (slope == 0)


@pytest.mark.parametrize(
    ("value", "old", "target", "loss"),
    [
        (1.0, 1.0, 2.0, 0.5),
        (1.9, 1.0, 2.0, 0.32),  # it moved 0.9 towards the target, of which 0.2 count
        (0.1, 1.0, 2.0, 1.805),  # away from it, all of it counts
        (2.5, 2.4, 2.0, 0.125),
    ],
)
def test_a_value_may_come_no_nearer_to_its_target_than_the_clip_allows(value, old, target, loss):
    as_array = lambda x: jnp.full((1, 1), x)
    np.testing.assert_allclose(policy.value_loss(*map(as_array, (value, old, target)), clip=0.2)[0, 0], loss, rtol=1e-5)


def test_the_kl_estimate_is_the_kl_on_average_and_never_negative():
    logits = jnp.asarray(DRAW.normal(size=(2, 9)), jnp.float32)
    log_p, log_q = jax.nn.log_softmax(logits)
    estimate = policy.kl_estimate(log_p[None], log_q[None])[0]
    np.testing.assert_allclose((jnp.exp(log_p) * estimate).sum(), (jnp.exp(log_p) * (log_p - log_q)).sum(), rtol=1e-5)
    assert (np.asarray(estimate) >= 0).all()
    np.testing.assert_allclose(policy.kl_estimate(log_p[None], log_p[None]), 0, atol=1e-7)


@pytest.mark.parametrize(("kl", "factor"), [(6.0, 1.0), (6.6, 1.01), (60.0, 1.02), (0.0, 0.98), (5.4, 0.99)])
def test_the_coefficient_follows_the_kl_with_bounded_steps(kl, factor):
    np.testing.assert_allclose(
        policy.adapt_kl_coefficient(jnp.float32(0.2), jnp.float32(kl), 6.0, 0.1), 0.2 * factor, rtol=1e-5
    )
