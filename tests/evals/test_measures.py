"""Retrieval and fidelity against small cases worked by hand."""

import numpy as np
import pytest

from gen.evals.fidelity import psnr
from gen.evals.retrieval import recall


def test_recall_counts_own_keys_among_the_nearest():
    keys = np.eye(3)
    queries = np.array([[1.0, 0, 0], [0.9, 0.5, 0], [0, 0.6, 0.5]])  # right, second, second
    assert recall(queries, keys, k=1) == pytest.approx(1 / 3)
    assert recall(queries, keys, k=2) == 1


def test_psnr_is_ten_log_ten_of_peak_squared_over_error():
    true = np.zeros((2, 4, 4, 3), np.float32)
    picture = true + np.array([0.2, 0.02], np.float32)[:, None, None, None]
    np.testing.assert_allclose(psnr(picture, true), [20.0, 40.0], rtol=1e-5)
    assert np.isinf(psnr(true, true)).all()
