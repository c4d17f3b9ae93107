"""Precision, recall and F1 of each class against scikit-learn, and the picture of who is taken for whom."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from gen.evals.classification import classification, plot

LABELS = ("apple", "fig", "pear", "plum")


def test_measures_are_scikit_learns():
    label_N, guess_N = np.random.default_rng(0).integers(0, 3, (2, 50))
    label_N[guess_N == 1] = 0  # nothing is rightly taken for a fig
    confusion_CC = confusion_matrix(label_N, guess_N, labels=range(4))  # and there is no plum
    result = classification(confusion_CC.astype(np.float32), LABELS)
    assert result["confusion"] == confusion_CC.tolist() and tuple(result["labels"]) == LABELS
    peer = precision_recall_fscore_support(label_N, guess_N, labels=range(4), zero_division=0)
    for name, expected_C in zip(("precision", "recall", "f1", "texts"), peer, strict=True):
        np.testing.assert_allclose([result["classes"][label][name] for label in LABELS], expected_C)
    assert result["f1"] == pytest.approx(np.mean(peer[2][:3]))  # of those that occur
    right = int((label_N == guess_N).sum())
    assert (result["accuracy"]["right"], result["accuracy"]["count"]) == (right, 50)


def test_shades_are_shares_of_the_row(tmp_path, monkeypatch):
    shown = {}
    imshow, text = Axes.imshow, Axes.text
    monkeypatch.setattr(Axes, "imshow", lambda self, x, **how: shown.update(shares=x) or imshow(self, x, **how))
    record = lambda self, x, y, s, **how: shown.update({(y, x): s}) or text(self, x, y, s, **how)
    monkeypatch.setattr(Axes, "text", record)
    plot(classification(np.array([[9, 1], [80, 20]]), ("a", "b")), tmp_path / "evaluation" / "confusion.png")
    np.testing.assert_allclose(shown["shares"], [[0.9, 0.1], [0.8, 0.2]])
    assert [shown[place] for place in ((0, 0), (0, 1), (1, 0), (1, 1))] == ["9", "1", "80", "20"]
    assert (tmp_path / "evaluation" / "confusion.png").stat().st_size > 1000
