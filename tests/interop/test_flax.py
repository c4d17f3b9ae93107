import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import serialization

from gen import spec
from gen.interop.flax import FlaxModule, from_bytes, to_bytes
from gen.models.clip import clip_spec, encode_text
from gen.models.unet import UNetConfig, unet, unet_spec
from tests.peers import CLIP

TEXT_SPECS = {"text": clip_spec(CLIP)["text"]}
UNET = UNetConfig(channels=8, multipliers=(1,), blocks=1, resolution=4, head_dim=4, groups=4)
MODELS = {
    "text tower": (
        TEXT_SPECS,
        lambda params, tokens_BT: encode_text(params, tokens_BT, CLIP).embedding_BE,
        (jnp.arange(18).reshape(2, 9),),
    ),
    "u-net": (
        unet_spec(UNET),
        lambda params, x_BYXC, t_B: unet(params, x_BYXC, t_B, UNET),
        (jnp.ones((1, 4, 4, 3)), jnp.array([3])),
    ),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]


def test_a_module_has_gens_parameters_and_computes_what_gen_does(model):
    specs, function, inputs = model
    module = FlaxModule(specs, function)
    variables = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    assert variables["params"] == spec.abstract(specs)

    params = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.1), spec.abstract(specs))
    np.testing.assert_array_equal(module.apply({"params": params}, *inputs), function(params, *inputs))


def test_a_module_draws_each_parameter_as_its_spec_says():
    specs = {"a": spec.Spec((500,), (None,), spec.normal(0.02)), "b": {"c": spec.Spec((500,), (None,), spec.ones)}}
    params = FlaxModule(specs, lambda params: params["a"]).init(jax.random.key(0))["params"]
    assert 0.018 < params["a"].std() < 0.022
    np.testing.assert_array_equal(params["b"]["c"], 1)


def test_bytes_come_back_bit_for_bit_and_are_flaxs_own(model):
    specs = model[0]
    params = spec.initialize(specs, jax.random.key(0))
    data = to_bytes(params)
    jax.tree.map(np.testing.assert_array_equal, from_bytes(data, specs, "memory"), params)
    theirs = serialization.from_bytes(jax.tree.map(np.zeros_like, params), data)
    jax.tree.map(np.testing.assert_array_equal, theirs, params)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "clip.msgpack does not hold Flax weights"),
        (b"\xc1 no msgpack", "clip.msgpack does not hold Flax weights"),
        (to_bytes({"scale": np.zeros(3)})[:-5], "clip.msgpack does not hold Flax weights"),
        (to_bytes({}), "the weights in clip.msgpack do not fit the model: scale is missing"),
        (to_bytes({"scale": np.zeros(3), "bias": np.zeros(1)}), "bias is unknown"),
        (to_bytes({"scale": np.zeros(4)}), r"scale has shape \(4,\), expected \(3,\)"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        from_bytes(data, {"scale": spec.Spec((3,), (None,), spec.zeros)}, "clip.msgpack")
