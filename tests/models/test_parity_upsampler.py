from gen.interop.unclip import unet_from_diffusers
from gen.models.unet import unet
from tests.peers import UPSAMPLER, assert_same, channels_last, hasty, recorded


def test_a_convolutional_unet_without_scale_and_shift_computes_what_the_peer_does():
    weights, inputs, outputs = recorded("upsampler")
    params = unet_from_diffusers(weights, UPSAMPLER, "the fixture")
    predict = hasty(lambda params, x_BYXC, t_B: unet(params, x_BYXC, t_B, UPSAMPLER))
    y_BYXC = predict(params, channels_last(inputs["x"]), inputs["t"])
    assert_same(y_BYXC, channels_last(outputs["predicted"]))
