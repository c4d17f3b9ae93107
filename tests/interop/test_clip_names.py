import math

import jax.numpy as jnp
import numpy as np
import pytest

from gen import spec
from gen.data import images
from gen.interop import clip, names, safetensors
from gen.models.clip import CLIPConfig, CLIPTextConfig, VisionConfig, clip_spec
from gen.nn.transformer import TransformerConfig
from tests.peers import CLIP, FOLDER, full_size_names, recorded

L14 = CLIPConfig(
    embed=768,
    image=VisionConfig(224, 14, TransformerConfig(width=1024, layers=24, heads=16, activation="quick_gelu")),
    text=CLIPTextConfig(
        49408, 77, TransformerConfig(width=768, layers=12, heads=12, activation="quick_gelu", causal=True)
    ),
)


def shapes(specs):
    return {name: leaf.shape for name, leaf in names.peer_specs(clip.TABLE, specs).items()}


def test_every_name_and_shape_of_clip_l14_is_accounted_for():
    assert shapes(clip_spec(L14)) == full_size_names("clip_l14")


def test_karlos_text_encoder_is_the_text_tower_alone():
    assert shapes({"text": clip_spec(L14)["text"]}) == full_size_names("clip_l14_text")


@pytest.mark.parametrize("shape", ["30x47", "61x33", "12x13", "40x40", "17x90"])
def test_pictures_are_prepared_as_the_peers_processor_does(shape):
    arrays = safetensors.load(FOLDER / "clip_processor.safetensors")
    image_YXC, peer_CYX = np.array(arrays[f"inputs/{shape}"]), arrays[f"outputs/{shape}"]

    def prepare(whole):
        square_YXC = images.center_crop(images.resize_shorter(image_YXC, 12, whole), 12)
        return np.asarray(clip.standardise(jnp.asarray(square_YXC[None], jnp.float32) / 127.5 - 1))[0]

    np.testing.assert_allclose(prepare(math.floor), peer_CYX.transpose(1, 2, 0), atol=1e-5)
    # rounded up, the longer side is another, and so are the pixels
    assert np.allclose(prepare(round), prepare(math.floor)) == (shape not in ("30x47", "17x90"))


def test_there_and_back_changes_no_bit():
    weights = recorded("clip").weights
    back = clip.to_transformers(clip.from_transformers(weights, clip_spec(CLIP), "the fixture"))
    assert back.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(back[name], array)


def test_counters_that_old_files_hold_are_passed_over():
    weights = recorded("clip").weights | {"text_model.embeddings.position_ids": np.arange(9)[None]}
    spec.check(clip_spec(CLIP), clip.from_transformers(weights, clip_spec(CLIP), "the fixture"), "it")


def test_a_siglip_bias_has_no_place_in_the_peer():
    with pytest.raises(ValueError, match="no place for logit_bias"):
        clip.from_transformers({}, {"logit_bias": clip_spec(CLIP)["logit_scale"]}, "the fixture")


def test_pixels_are_standardised_by_channel():
    # a picture of the mean colour becomes 0, and one deviation brighter 1
    mean, deviation = np.array(clip.MEAN), np.array(clip.DEVIATION)
    x_BYXC = jnp.asarray(2 * np.stack([mean, mean + deviation]).reshape(2, 1, 1, 3) - 1)
    expected = np.broadcast_to(np.array([0.0, 1.0]).reshape(2, 1, 1, 1), (2, 1, 1, 3))
    np.testing.assert_allclose(clip.standardise(x_BYXC), expected, atol=1e-6)
