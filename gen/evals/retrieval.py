"""Retrieval: does a caption find its own picture among others, by the dot product of embeddings?"""

import numpy as np
from jaxtyping import Float


def recall(query_NE: Float[np.ndarray, "N E"], key_NE: Float[np.ndarray, "N E"], k: int = 1) -> float:
    """The share of queries whose own key (same row) is among the k nearest; chance is k / N."""
    similarity_NN = query_NE @ key_NE.T
    own_N1 = np.diagonal(similarity_NN)[:, None]
    return float(((similarity_NN > own_N1).sum(1) < k).mean())
