import jax.numpy as jnp
import pytest

from gen.interop.unclip import decoder_from_diffusers
from gen.models.decoder import Condition, UNetContext, decoder, encode
from tests.peers import DECODER, assert_same, channels_last, group, hasty, recorded


@pytest.fixture(scope="module")
def peer():
    return recorded("decoder")


@pytest.fixture(scope="module")
def params(peer):
    states = group(peer.weights, "decoder."), group(peer.weights, "text_proj.")
    return decoder_from_diffusers(*states, DECODER, "the fixture")


@pytest.fixture(scope="module")
def predict(peer, params):
    """Context to prediction, in the peer's layout: one program for all tests."""
    x_BYXC, t_B = channels_last(peer.inputs["x"]), peer.inputs["t"]
    program = hasty(lambda params, x_BYXC, t_B, context: decoder(params, x_BYXC, t_B, context, DECODER))
    return lambda context: program(params, x_BYXC, t_B, context).transpose(0, 3, 1, 2)


def test_the_unet_sees_embedding_context_and_mask_as_the_peer_does(peer, predict):
    context = UNetContext(*(jnp.asarray(peer.inputs[name]) for name in ("embedding", "context", "mask")))
    assert_same(predict(context._replace(mask_BS=context.mask_BS.astype(bool))), peer.outputs["predicted"])


def test_the_condition_enters_as_in_the_peers_pipeline_with_unconditional_rows_first(peer, params, predict):
    condition = Condition(
        image_BE=jnp.asarray(peer.inputs["image_embedding"]),
        keep_image_B=jnp.array([False, False, True, True]),
        caption=jnp.asarray(peer.inputs["states"]),
        mask_BT=jnp.asarray(peer.inputs["caption_mask"], bool),
        text_BE=jnp.asarray(peer.inputs["text_embedding"]),
    )
    context = hasty(lambda params, condition: encode(params, condition, DECODER))(params, condition)
    assert_same(predict(context), peer.outputs["guided"])
