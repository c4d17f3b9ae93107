"""Retrieval of halves, with vectors whose neighbours are known."""

import numpy as np
import pytest

from gen.evals.embedding import embedding, halves, measure, ranks, tf_idf
from gen.evals.retrieval import recall
from gen.sample.scorer import Scorer
from gen.tokenizers import Bytes


class Given(Scorer):
    """Vectors as given."""

    def __init__(self, vectors):
        self.vectors, self.tokenizer = np.asarray(vectors, np.float32), Bytes()

    def embed(self, texts):
        assert len(texts) == len(self.vectors)
        return self.vectors


def test_a_document_is_cut_at_the_line_break_nearest_to_its_middle():
    assert halves(["aa\nbbb\nccccccccc\nd", "one line", "\n\nx\n\ny\n"]) == [("aa\nbbb", "ccccccccc\nd"), ("x", "y")]


def test_ranks_count_all_that_are_as_near():
    similarity = np.array([[0.9, 0.1, 0.2], [0.5, 0.4, 0.1], [0.3, 0.3, 0.3]])
    np.testing.assert_array_equal(ranks(similarity), [1, 2, 3])
    assert measure(similarity) == {"top_1": pytest.approx(1 / 3), "mrr": pytest.approx((1 + 1 / 2 + 1 / 3) / 3)}


def test_top_1_is_recall_where_nothing_ties():
    draw = np.random.default_rng(0)
    query, key = draw.normal(size=(2, 50, 4))
    key = query + 0.5 * key
    assert measure(query @ key.T)["top_1"] == recall(query, key) > 0.2


def test_equal_vectors_find_nothing():
    found = embedding(Given(np.full((8, 2), 0.5**0.5)), [("a", "b")] * 4)
    assert found["model"]["top_1"] == found["centred"]["top_1"] == found["tf_idf"]["top_1"] == 0
    assert found["chance"] == {"top_1": 0.25, "mrr": pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4)}


def test_a_common_part_hides_what_centring_shows():
    own = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    vectors = np.concatenate([own, own]) * 0.01 + np.arange(6)[:, None] * 0.002 + [9, 9, 9]
    vectors += np.arange(6)[:, None] * [5, 5, 5]  # lengths, of which a cosine must not depend
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = embedding(Given(unit), [("a", "b"), ("c", "d"), ("e", "f")])
    assert found["texts"] == 3 and found["centred"]["mrr"] >= found["model"]["mrr"]


def test_tf_idf_finds_rare_tokens_and_is_the_textbook_cosine():
    queries, keys = ["aab", "aac"], ["aaab", "aaac"]
    similarity = tf_idf(Bytes(), queries, keys)
    np.testing.assert_array_equal(ranks(similarity), [1, 1])
    idf = {"a": np.log(5 / 5) + 1, "b": np.log(5 / 3) + 1, "c": np.log(5 / 3) + 1}  # smoothed, as scikit-learn has it
    bag = lambda text: np.array([text.count(letter) * idf[letter] for letter in "abc"])
    cosine = lambda x, y: x @ y / np.linalg.norm(x) / np.linalg.norm(y)
    expected = [[cosine(bag(q), bag(k)) for k in keys] for q in queries]
    np.testing.assert_allclose(similarity, expected, rtol=1e-6)


def test_one_pair_leaves_nothing_to_choose_from():
    with pytest.raises(ValueError, match="give at least 2"):
        embedding(Given(np.ones((2, 2))), [("a", "b")])
