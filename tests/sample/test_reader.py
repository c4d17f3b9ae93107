"""Scores and embeddings of a tiny random model, against a full forward pass of each text."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen.models.lm import states
from gen.sample.scorer import Scorer
from gen.tokenizers import Bytes
from tests.sample.lm import MODEL, PARAMS, placed

PAIRS = [("2 + 2 =", " 4"), ("", "a"), ("of more than a bucket", " and on"), ("x", "y")]


@pytest.fixture(scope="module")
def reader():
    return Scorer(*unpack(), batch=3)


def unpack(**mesh):
    params, made = placed(**mesh)
    return params, MODEL, Bytes(), made


def test_scores_are_sums_of_a_full_forward(reader, forward):
    for (context, more), score in zip(PAIRS, reader.score(PAIRS), strict=True):
        tokens = [257, *context.encode(), *more.encode()]
        log_p_TV = forward.log_p(tokens)[:-1]
        own_T = log_p_TV[np.arange(len(tokens) - 1), tokens[1:]]
        assert score.tokens == len(more)
        np.testing.assert_allclose(score.log_p, own_T[-len(more) :].sum(), rtol=1e-5)


def test_greedy_is_true_of_the_likeliest_tokens_alone(reader, forward):
    context = [5, 6, 7]
    best = forward.greedy([257, *context], 4)
    other = [*best[:3], (best[3] + 1) % 256]
    likely, unlikely = reader.score_tokens([(context, best), (context, other)])
    assert likely.greedy and not unlikely.greedy
    assert reader.score_tokens([([*context, *other[:1]], best[1:2])])[0].tokens == 1


def test_of_a_text_beyond_the_context_the_last_part_is_read(reader, forward):
    text = [int(t) for t in np.random.default_rng(0).integers(0, 256, 90)]
    (score,) = reader.score_tokens([(text[:85], text[85:])])
    window = text[-MODEL.context - 1 :]
    log_p_TV = forward.log_p(window[:-1])
    expected = log_p_TV[np.arange(len(window) - 1), window[1:]][-5:].sum()
    np.testing.assert_allclose(score.log_p, expected, rtol=1e-5)
    assert reader.score_tokens([([], text)])[0].tokens == MODEL.context  # all that one row can predict


def test_the_order_of_texts_changes_nothing(reader):
    order = [2, 0, 3, 1]
    scores, shuffled = reader.score(PAIRS), reader.score([PAIRS[i] for i in order])
    for place, i in enumerate(order):
        assert shuffled[place].tokens == scores[i].tokens
        np.testing.assert_allclose(shuffled[place].log_p, scores[i].log_p, rtol=1e-5)


def test_a_border_within_a_token_goes_to_the_context(reader):
    class Pairs(Bytes):  # two letters a token
        def encode(self, text):
            return [len(text[i : i + 2]) for i in range(0, len(text), 2)]

    params, model, _, mesh = unpack()
    split = Scorer(params, model, Pairs(), mesh).split
    assert split("abc", "def") == ([2, 2], [2])
    assert split("abc", "d") == ([2], [2])  # the last token at least is scored
    with pytest.raises(ValueError, match="the continuation of 'abc' is empty"):
        reader.score([("abc", "")])


def test_embeddings_are_means_of_states_of_unit_length(reader):
    texts = ["short", "a text that is a good deal longer", "", "x" * 99]
    vectors = reader.embed(texts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    read = jax.jit(lambda params, tokens_BT: states(params, tokens_BT, MODEL).states_BTD)
    for text, vector in zip(texts, vectors, strict=True):
        row = np.array([257, *text.encode()], np.int32)[: MODEL.context]
        padded = np.zeros(MODEL.context, np.int32)
        padded[: len(row)] = row
        mean = np.asarray(read(PARAMS, jnp.asarray(padded)[None]))[0, : len(row)].mean(0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


def test_nothing_to_read_is_read_at_once(reader):
    assert reader.score([]) == [] and reader.embed([]).shape == (0, MODEL.transformer.width)


def test_a_mesh_reads_the_same(reader):
    spread = Scorer(*unpack(data=1, fsdp=2, context=2, tensor=2), batch=3)
    expected, scores = reader.score(PAIRS[:2]), spread.score(PAIRS[:2])
    np.testing.assert_allclose([s.log_p for s in scores], [s.log_p for s in expected], rtol=1e-5)
    np.testing.assert_allclose(spread.embed(["a", "bc"]), reader.embed(["a", "bc"]), atol=1e-5)
