from gen.interop.unclip import prior_from_diffusers
from gen.models.embedding import restore
from gen.models.prior import CaptionEncoding, prior
from tests.peers import PRIOR, assert_same, hasty, recorded


def test_the_prior_predicts_what_the_peer_does_with_and_without_padding():
    weights, inputs, outputs = recorded("prior")
    params, statistics = prior_from_diffusers(weights, PRIOR, "the fixture")
    caption = CaptionEncoding(inputs["text_embedding"], inputs["states"], inputs["mask"].astype(bool))

    @hasty
    def predict(params, statistics, noised_BE, t_B, caption):
        x0_BE = prior(params, noised_BE, t_B, caption, PRIOR)
        return x0_BE, restore(x0_BE, statistics, None)

    x0_BE, image_BE = predict(params, statistics, inputs["noised"], inputs["t"], caption)
    assert_same(x0_BE, outputs["predicted"])
    assert_same(image_BE, outputs["embedding"])
