"""Where a caption ends: at the largest id, or at the id that the config names."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from gen.models.clip import VisionConfig, clip_spec, encode_text
from tests import small

TOKENS = jnp.array([[1, 5, 11, 0, 0], [1, 11, 0, 0, 0], [1, 2, 3, 4, 11]])


def test_padding_begins_after_the_end_of_the_text():
    text = encode_text(small.draw(clip_spec(small.CLIP), 0), TOKENS, small.CLIP)
    want = [[True] * 3 + [False] * 2, [True] * 2 + [False] * 3, [True] * 5]
    np.testing.assert_array_equal(text.mask_BT, want)


def test_any_id_may_end_a_text():
    """The same vocabulary in another order, whose end is number 2: the same embeddings."""
    params = small.draw(clip_spec(small.CLIP), 0)
    order = np.arange(small.VOCAB)
    order[[2, 11]] = 11, 2
    other = {**params, "text": {**params["text"], "tokens": params["text"]["tokens"][order]}}
    tokens_BT = jnp.asarray(order)[TOKENS]
    cfg = dataclasses.replace(small.CLIP, text=dataclasses.replace(small.CLIP.text, end=2))
    want, got = encode_text(params, TOKENS, small.CLIP), encode_text(other, tokens_BT, cfg)
    np.testing.assert_array_equal(got.embedding_BE, want.embedding_BE)
    np.testing.assert_array_equal(got.mask_BT, want.mask_BT)
    largest = encode_text(other, tokens_BT, small.CLIP)  # another token, in the row that has it
    assert np.abs(largest.embedding_BE - want.embedding_BE).max() > 0.01


def test_patches_must_cover_the_picture():
    with pytest.raises(ValueError, match="patch=5 pixels must divide resolution=16"):
        VisionConfig(16, 5, small.TOWER)
