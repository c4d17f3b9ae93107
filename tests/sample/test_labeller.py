"""Probabilities of labels, against a full forward pass of each text by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import mesh as meshes
from gen.mesh import MeshConfig
from gen.models.lm_with_head import lm_with_head, lm_with_head_spec
from gen.sample.text_classifier import TextClassifier
from gen.tokenizers import Bytes
from tests import small
from tests.sample.lm import MODEL

LABELS = ("apple", "fig", "pear")
SPECS = lm_with_head_spec(MODEL, len(LABELS))
PARAMS = small.draw(SPECS, 3)
TEXTS = ["a", "some text", "x" * 99, "of another length", "ü"]


def labeller(batch, **mesh):
    made = meshes.make(MeshConfig(**mesh), jax.devices() if mesh else jax.devices()[:1])
    return TextClassifier(jax.device_put(PARAMS, meshes.shardings(SPECS, made)), MODEL, LABELS, Bytes(), made, batch)


@pytest.fixture(scope="module")
def read():
    return jax.jit(lambda tokens_BT: jax.nn.softmax(lm_with_head(PARAMS, tokens_BT, MODEL)))


def check(guesses, read):
    for text, guess in zip(TEXTS, guesses, strict=True):
        tokens = [Bytes.start, *text.encode()[: MODEL.context - 2], Bytes.end]
        row_T = np.zeros(MODEL.context, np.int32)
        row_T[: len(tokens)] = tokens
        p_C = np.asarray(read(jnp.asarray(row_T)[None]))[0, len(tokens) - 1]
        assert guess.text == text and tuple(guess.probabilities) == LABELS
        np.testing.assert_allclose(list(guess.probabilities.values()), p_C, rtol=1e-5)
        assert guess.best == LABELS[p_C.argmax()]
        assert bool(guess.notes) == (len(text) > 30)


def test_probabilities_are_those_of_a_full_forward_and_batches_change_nothing(read):
    check(labeller(2).classify(TEXTS), read)


def test_a_mesh_reads_the_same(read):
    check(labeller(4, data=2, fsdp=2, tensor=2).classify(TEXTS), read)


def test_an_empty_text_is_refused():
    with pytest.raises(ValueError, match="a text is empty; there is nothing to label"):
        labeller(2).classify(["a", " \n"])
    assert labeller(2).classify([]) == []
