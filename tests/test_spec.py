"""One tree of Specs: initialisation, abstract shapes, stacking, counting and the check of weights from elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import rng, spec
from gen.spec import Spec

SPECS = {
    "dense": {"kernel": Spec((64, 32), ("embed", "mlp"), spec.normal(0.5)), "bias": Spec((32,), ("mlp",), spec.zeros)},
    "scale": Spec((), (), spec.constant(3.0), jnp.bfloat16),
}


def test_every_dimension_needs_an_axis():
    with pytest.raises(ValueError, match=r"axis name .* per dimension: shape \(3, 4\), axes \('embed',\)"):
        Spec((3, 4), ("embed",), spec.zeros)


def test_parameters_have_the_shapes_dtypes_and_distributions_asked_for():
    params = spec.initialize(SPECS, jax.random.key(0))
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype), spec.abstract(SPECS))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), params) == shapes
    kernel = np.asarray(params["dense"]["kernel"])
    assert abs(kernel.mean()) < 4 * 0.5 / kernel.size**0.5
    assert abs(kernel.std() / 0.5 - 1) < 4 / (2 * kernel.size) ** 0.5
    assert params["scale"] == 3 and params["scale"].dtype == jnp.bfloat16 and not params["dense"]["bias"].any()


def test_a_parameter_is_drawn_from_its_own_path():
    key = jax.random.key(0)
    alone = spec.initialize({"dense": {"kernel": SPECS["dense"]["kernel"]}}, key)["dense"]["kernel"]
    among = spec.initialize(SPECS, key)["dense"]["kernel"]
    drawn = 0.5 * jax.random.normal(rng.fold(key, "dense/kernel"), (64, 32))
    np.testing.assert_array_equal(alone, among)
    np.testing.assert_allclose(alone, drawn, rtol=1e-6)


def test_stacked_blocks_gain_a_leading_layers_axis():
    stacked = spec.stack(SPECS, 3)["dense"]["kernel"]
    assert stacked.shape == (3, 64, 32) and stacked.axes == ("layers", "embed", "mlp")
    drawn = spec.initialize({"blocks": stacked}, jax.random.key(0))["blocks"]
    assert not np.array_equal(drawn[0], drawn[1])


def test_count_and_flatten():
    assert spec.count(SPECS) == 64 * 32 + 32 + 1
    assert spec.flatten(SPECS) == {
        "dense/kernel": SPECS["dense"]["kernel"],
        "dense/bias": SPECS["dense"]["bias"],
        "scale": SPECS["scale"],
    }


def test_weights_that_fit_pass():
    spec.check(SPECS, spec.abstract(SPECS), "model.safetensors")


def test_weights_that_do_not_fit_are_named():
    params = {"dense": {"kernel": np.zeros((64, 33)), "weight": np.zeros(1)}, "scale": np.zeros(())}
    with pytest.raises(ValueError) as error:
        spec.check(SPECS, params, "model.safetensors")
    assert str(error.value) == (
        "the weights in model.safetensors do not fit the model: dense/bias is missing; dense/weight is unknown; "
        "dense/kernel has shape (64, 33), expected (64, 32)"
    )


def test_only_the_first_eight_problems_are_listed():
    many = {f"w{letter}": Spec((), (), spec.zeros) for letter in "abcdefghijk"}
    with pytest.raises(ValueError, match=r"wh is missing; and 3 more$"):
        spec.check(many, {}, "nothing")


@pytest.mark.parametrize(
    ("axes", "matrix"),
    [
        (("embed", "heads", None), ((), (0,), (1, 2))),
        (("layers", "heads", None, "embed"), ((0,), (1, 2), (3,))),
        (("layers", "expert", "embed", "mlp"), ((0, 1), (2,), (3,))),
        ((None, None, "conv_in", None), ((), (0, 1, 2), (3,))),
        ((None, "embed"), ((), (0,), (1,))),
        (("layers", "embed"), None),
        (("heads", None), None),
        (("embed",), None),
        ((), None),
    ],
)
def test_a_weight_says_by_its_axes_how_it_is_a_matrix(axes, matrix):
    assert spec.matrix(Spec((4,) * len(axes), axes, spec.zeros)) == matrix
