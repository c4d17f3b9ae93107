import jax.numpy as jnp
import pytest

from gen.interop import clip as interop
from gen.models.clip import clip_spec, encode_image, encode_text
from gen.models.embedding import l2_normalize
from tests.peers import CLIP, assert_same, channels_last, hasty, recorded


@pytest.fixture(scope="module")
def peer():
    return recorded("clip")


@pytest.fixture(scope="module")
def params(peer):
    return interop.from_transformers(peer.weights, clip_spec(CLIP), "the fixture")


def test_captions_that_end_early_or_are_padded_have_the_peers_embeddings_and_states(peer, params):
    text = hasty(lambda params, tokens_BT: encode_text(params, tokens_BT, CLIP))(params, peer.inputs["tokens"])
    assert_same(text.states_BTD, peer.outputs["states"])
    assert_same(text.embedding_BE, peer.outputs["text_embedding"])


def test_images_have_the_peers_embeddings(peer, params):
    pixels_BYXC = channels_last(peer.inputs["pixels"])
    image_BE = hasty(lambda params, x_BYXC: encode_image(params, x_BYXC, CLIP))(params, pixels_BYXC)
    assert_same(image_BE, peer.outputs["image_embedding"])


def test_logits_are_the_peers(peer, params):
    image_BE, text_BE = (
        l2_normalize(jnp.asarray(peer.outputs[name])) for name in ("image_embedding", "text_embedding")
    )
    assert_same(jnp.exp(params["logit_scale"]) * image_BE @ text_BE.T, peer.outputs["logits_per_image"])
