"""No parameter is idle: each receives a gradient, except where mathematics says that it cannot."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import spec, tree
from gen.losses import contrastive
from gen.models.clip import clip_spec, encode_image, encode_text
from gen.models.decoder import CaptionConfig, Condition, condition_spec, decoder, decoder_spec, encode
from gen.models.embedding import l2_normalize
from gen.models.prior import CaptionEncoding, prior, prior_spec
from gen.models.unet import UNetConfig, unet, unet_spec
from gen.nn.transformer import TransformerConfig
from tests.peers import CLIP, DECODER, PRIOR, hasty

UNET = UNetConfig(
    channels=8, multipliers=(1, 2), blocks=1, resolution=4, attention=(2,), head_dim=8, context=12, groups=4
)
KARLO = dataclasses.replace(DECODER, unet=UNET)
PAPER = dataclasses.replace(
    KARLO, states=None, caption=CaptionConfig(30, 6, TransformerConfig(width=16, layers=2, heads=2))
)
PLAIN = UNetConfig(channels=8, multipliers=(1,), blocks=1, resolution=4, head_dim=8, scale_shift=False, groups=4)


def draw(number: int, *shape: int):
    return jnp.asarray(np.random.default_rng(number).standard_normal(shape), jnp.float32)


TIMES = jnp.array([3, 700])
MASK = jnp.array([[True] * 6, [True] * 3 + [False] * 3])
TOKENS = jnp.arange(12).reshape(2, 6)
CONDITION = Condition(draw(0, 2, 10), jnp.array([True, False]), draw(1, 2, 6, 10), MASK, draw(2, 2, 10))


def clip_loss(params):
    text_BE = encode_text(params, jnp.arange(18).reshape(2, 9), CLIP).embedding_BE
    similarities_BB = contrastive.similarities(
        l2_normalize(encode_image(params, draw(3, 2, 12, 12, 3), CLIP)), l2_normalize(text_BE)
    )
    return contrastive.sigmoid(jnp.exp(params["logit_scale"]) * similarities_BB + params["logit_bias"])


def prior_output(params):
    mask_BT = jnp.arange(7) < jnp.array([[7], [3]])
    return prior(params, draw(4, 2, 20), TIMES, CaptionEncoding(draw(5, 2, 20), draw(6, 2, 7, 20), mask_BT), PRIOR)


# name: (specs, outputs of the parameters)
MODELS = {
    "clip": (clip_spec(dataclasses.replace(CLIP, loss="sigmoid")), clip_loss),
    "prior": (prior_spec(PRIOR), prior_output),
    "decoder": (
        decoder_spec(KARLO),
        lambda params: decoder(params, draw(7, 2, 4, 4, 3), TIMES, encode(params, CONDITION, KARLO), KARLO),
    ),
    "caption transformer": (
        condition_spec(PAPER),
        lambda params: encode({"condition": params}, CONDITION._replace(caption=TOKENS, text_BE=None), PAPER)[:2],
    ),
    "unconditional u-net": (unet_spec(PLAIN), lambda params: unet(params, draw(8, 2, 4, 4, 3), TIMES, PLAIN)),
}


def blind(path: str, specs: dict) -> bool:
    """Softmax does not change when all of its scores do, as a key bias moves them, unless context has other keys."""
    return path.endswith("attention/key/bias") and path.replace("/key/", "/context_key/") not in specs


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_receives_a_gradient(name):
    specs, outputs = MODELS[name]
    # drawn anew, since a kernel that starts at zero lets no gradient through
    numbers = np.random.default_rng(0)
    draw_like = lambda leaf: jnp.asarray(0.5 * numbers.standard_normal(leaf.shape), jnp.float32)
    params = jax.tree.map(draw_like, spec.abstract(specs))

    def loss(params):
        return sum(jnp.sum(y * draw(10, *y.shape)) for y in jax.tree.leaves(outputs(params)))

    gradient = hasty(jax.grad(loss))(params)
    leaves = spec.flatten(specs)
    for path, value in tree.paths(gradient):
        size = float(jnp.abs(value).max())
        assert (size < 1e-5) if blind(path, leaves) else (1e-3 < size < float("inf")), f"{path}: {size}"
