import numpy as np
import pytest

from gen.diffusion import spacing


def test_respaced_has_the_known_times():
    assert spacing.respaced(7, 1000).tolist() == [999, 832, 666, 500, 333, 166, 0]
    times = spacing.respaced(25, 1000).tolist()
    assert times[:4] == [999, 957, 916, 874] and times[-3:] == [83, 42, 0]
    assert spacing.respaced(1000, 1000).tolist() == list(range(999, -1, -1))


def test_respaced_rounds_as_the_published_formula_for_every_n():
    for n in range(2, 1001):
        assert spacing.respaced(n, 1000).tolist() == (np.arange(n) * (999 / (n - 1))).round()[::-1].tolist()


def test_leading_and_trailing():
    assert spacing.leading(4, 1000, offset=1).tolist() == [751, 501, 251, 1]
    assert spacing.trailing(4, 1000).tolist() == [999, 749, 499, 249]
    assert spacing.trailing(3, 1000).tolist() == [999, 666, 332]


def test_uniform_starts_at_noise_and_leaves_the_clean_time_to_the_sampler():
    np.testing.assert_allclose(spacing.uniform(4), [1.0, 0.75, 0.5, 0.25])


@pytest.mark.parametrize("n", [1, 1001])
def test_impossible_numbers_of_steps_are_named(n):
    with pytest.raises(ValueError, match=f"cannot sample in {n} of 1000 steps; take between 2 and 1000"):
        spacing.respaced(n, 1000)
