import dataclasses

import numpy as np
import pytest

from gen.interop import names, unclip
from gen.models.decoder import CaptionConfig, DecoderConfig, condition_spec
from gen.models.prior import PriorConfig
from gen.models.unet import UNetConfig, unet_spec
from gen.nn.transformer import TransformerConfig
from tests.peers import DECODER, PRIOR, UPSAMPLER, full_size_names, group, recorded

KARLO_PRIOR = PriorConfig(
    embed=768, context=77, transformer=TransformerConfig(width=2048, layers=20, heads=32, causal=True), states=768
)
KARLO_DECODER = DecoderConfig(
    unet=UNetConfig(
        channels=320,
        multipliers=(1, 2, 3, 4),
        blocks=3,
        resolution=64,
        attention=(32, 16, 8),
        context=1536,
        out_channels=6,
    ),
    embed=768,
    states=768,
)
KARLO_UPSAMPLER = UNetConfig(
    channels=320,
    multipliers=(1, 2, 3, 4),
    blocks=3,
    resolution=256,
    middle_attention=False,
    in_channels=6,
    scale_shift=False,
)


def shapes(table, specs):
    return {name: leaf.shape for name, leaf in names.peer_specs(table, specs).items()}


@pytest.mark.parametrize(
    ("peer", "table", "specs"),
    [
        ("karlo_prior", unclip.PRIOR, unclip.with_statistics(KARLO_PRIOR)),
        ("karlo_text_proj", unclip.TEXT_PROJ, condition_spec(KARLO_DECODER)),
        ("karlo_decoder", unclip.unet_table(KARLO_DECODER.unet), unet_spec(KARLO_DECODER.unet)),
        ("karlo_upsampler", unclip.unet_table(KARLO_UPSAMPLER), unet_spec(KARLO_UPSAMPLER)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_name_and_shape_of_karlo_is_accounted_for(peer, table, specs):
    assert shapes(table, specs) == full_size_names(peer)


def assert_equal(back, weights):
    assert back.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(back[name], array)


def test_a_prior_and_its_statistics_come_back_bit_for_bit():
    weights = recorded("prior").weights
    params, statistics = unclip.prior_from_diffusers(weights, PRIOR, "the fixture")
    assert_equal(unclip.prior_to_diffusers(params, statistics), weights)


def test_a_decoder_comes_back_bit_for_bit_in_its_two_parts():
    weights = recorded("decoder").weights
    parts = group(weights, "decoder."), group(weights, "text_proj.")
    params = unclip.decoder_from_diffusers(*parts, DECODER, "the fixture")
    for back, part in zip(unclip.decoder_to_diffusers(params, DECODER), parts, strict=True):
        assert_equal(back, part)


def test_an_upsampler_comes_back_bit_for_bit():
    weights = recorded("upsampler").weights
    params = unclip.unet_from_diffusers(weights, UPSAMPLER, "the fixture")
    assert_equal(unclip.unet_to_diffusers(params, UPSAMPLER), weights)


def test_weights_of_another_size_are_refused_by_name():
    wider = dataclasses.replace(UPSAMPLER, channels=16)
    with pytest.raises(ValueError, match="super_res_first do not fit the model: conv_in.bias has shape"):
        unclip.unet_from_diffusers(recorded("upsampler").weights, wider, "super_res_first")


def test_a_decoder_that_reads_captions_itself_has_no_place_in_the_peer():
    caption = CaptionConfig(99, 9, TransformerConfig(width=24, layers=1, heads=3))
    own = dataclasses.replace(DECODER, caption=caption, states=None)
    with pytest.raises(ValueError, match="no place for blocks/attention/key/bias"):
        names.peer_specs(unclip.TEXT_PROJ, condition_spec(own))
