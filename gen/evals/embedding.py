r"""Texts as vectors: does one half of a document find its other half among those of other documents?

    embedding(reader, halves(documents))                # {"texts": 200, "model": {"top_1": 0.6, "mrr": 0.7}, ...}

By cosine, beside a bag of the same tokens weighed by tf-idf. "centred" is the model's vectors less their mean: the
states of language models share a large common part, which hides the rest (Mu and Viswanath 2018, arXiv 1702.01417).
A tie counts against the right one, so that equal vectors find nothing. The mean reciprocal rank (MRR) of a guess is
(1 + 1/2 + ... + 1/N) / N.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.feature_extraction.text import TfidfVectorizer

from gen.sample.scorer import Scorer
from gen.tokenizers.base import Tokenizer


def halves(documents: Iterable[str]) -> list[tuple[str, str]]:
    """Each document cut at the line break that is nearest to its middle; those of one line are left out."""
    pairs = []
    for text in documents:
        text = text.strip()
        middle = len(text) // 2
        breaks = [i for i in (text.rfind("\n", 0, middle), text.find("\n", middle)) if i >= 0]
        if breaks:
            at = min(breaks, key=lambda i: abs(i - middle))
            pairs.append((text[:at].strip(), text[at:].strip()))
    return pairs


def embedding(reader: Scorer, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Retrieval of each pair's second text by its first. Raises ValueError for less than two pairs."""
    if len(pairs) < 2:
        raise ValueError(f"{len(pairs)} pairs of texts leave nothing to choose from; give at least 2")
    count = len(pairs)
    texts = [text for column in zip(*pairs, strict=True) for text in column]
    vectors = reader.embed(texts)
    return {
        "texts": count,
        "chance": {"top_1": 1 / count, "mrr": float((1 / np.arange(1, count + 1)).mean())},
        "model": measure(vectors[:count] @ vectors[count:].T),
        "centred": measure(_centred(vectors)[:count] @ _centred(vectors)[count:].T),
        "tf_idf": measure(tf_idf(reader.tokenizer, texts[:count], texts[count:])),
    }


def measure(similarity_NN: Float[np.ndarray, "N N"]) -> dict[str, float]:
    """The share of queries that find their own key (same number) first, and the mean reciprocal rank."""
    rank_N = ranks(similarity_NN)
    return {"top_1": float((rank_N == 1).mean()), "mrr": float((1 / rank_N).mean())}


def ranks(similarity_NN: Float[np.ndarray, "N N"]) -> Int[np.ndarray, "N"]:
    """At which place, from 1, each query finds its own key; the last place among equals."""
    return (similarity_NN >= np.diagonal(similarity_NN)[:, None]).sum(1)


def tf_idf(tokenizer: Tokenizer, queries: Sequence[str], keys: Sequence[str]) -> Float[np.ndarray, "N N"]:
    """Cosines of bags of tokens, rare ones counting more."""
    bags = TfidfVectorizer(analyzer=tokenizer.encode).fit_transform([*queries, *keys])
    return (bags[: len(queries)] @ bags[len(queries) :].T).toarray()


def _centred(vectors_ND: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
    centred_ND = vectors_ND - vectors_ND.mean(0)
    return centred_ND / np.maximum(np.linalg.norm(centred_ND, axis=1, keepdims=True), 1e-12)
