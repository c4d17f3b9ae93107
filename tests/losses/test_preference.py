import jax.numpy as jnp
import numpy as np

from gen.losses.preference import pairwise


def by_hand(reward_K, rank_K):
    """All pairs, one by one."""
    losses, right = [], []
    for i, better in enumerate(rank_K):
        for j, worse in enumerate(rank_K):
            if 0 <= better < worse:
                margin = reward_K[i] - reward_K[j]
                losses.append(np.log1p(np.exp(-margin)))
                right.append(margin > 0)
    return losses, right


def test_all_pairs_of_a_prompt_count_together():
    draw = np.random.default_rng(0)
    reward_BK = draw.normal(size=(6, 4))
    rank_BK = np.array([[0, 1, 2, 3], [1, 0, 0, 2], [0, 1, -1, -1], [2, 2, 0, -1], [0, 0, 0, 0], [0, -1, -1, -1]])
    compared = pairwise(jnp.asarray(reward_BK, jnp.float32), jnp.asarray(rank_BK))
    for row in range(6):
        losses, right = by_hand(reward_BK[row], rank_BK[row])
        assert compared.pairs_B[row] == len(losses)
        np.testing.assert_allclose(compared.loss_B[row], np.mean(losses) if losses else 0, rtol=1e-5)
        np.testing.assert_allclose(compared.correct_B[row], np.mean(right) if right else 0, rtol=1e-6)
    assert list(compared.pairs_B) == [6, 5, 1, 2, 0, 0]


def test_equal_rewards_are_not_in_the_right_order():
    compared = pairwise(jnp.zeros((1, 2)), jnp.array([[0, 1]]))
    np.testing.assert_allclose(compared.loss_B, np.log(2), rtol=1e-6)
    assert compared.correct_B == 0


def test_large_margins_stay_finite():
    loss_B = pairwise(jnp.array([[-1e4, 1e4], [1e4, -1e4]]), jnp.array([[0, 1], [0, 1]])).loss_B
    np.testing.assert_allclose(loss_B, [2e4, 0], atol=1e-6)
