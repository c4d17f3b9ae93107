import jax
import numpy as np
import pytest

from gen import spec
from gen.interop import names
from gen.interop.names import CONV, FROM_HEADS, TO_HEADS, NameRule, at
from gen.spec import Spec


def leaf(*shape):
    return Spec(shape, (None,) * len(shape), spec.normal(1.0))


# two layers of three heads of width 5 on four features, one convolution of 7 to 6 channels, one number
SPECS = {
    "blocks": {
        "query": {"kernel": leaf(2, 4, 3, 5), "bias": leaf(2, 3, 5)},
        "out": {"kernel": leaf(2, 3, 5, 4), "bias": leaf(2, 4)},
    },
    "conv": {"kernel": leaf(2, 3, 7, 6), "bias": leaf(6)},
    "scale": leaf(),
}
TABLE = [
    *at("blocks/query", "h.{layer}.q", TO_HEADS),
    *at("blocks/out", "h.{layer}.o", FROM_HEADS),
    *at("conv", "conv", CONV),
    NameRule("scale", "scale", " -> "),
]


@pytest.fixture
def params():
    return spec.initialize(SPECS, jax.random.key(0))


def test_the_peer_has_one_array_for_each_layer_in_its_own_layout():
    shapes = {name: leaf.shape for name, leaf in names.peer_specs(TABLE, SPECS).items()}
    layer = {"q.weight": (15, 4), "q.bias": (15,), "o.weight": (4, 15), "o.bias": (4,)}
    assert shapes == {
        **{f"h.{i}.{name}": shape for i in range(2) for name, shape in layer.items()},
        "conv.weight": (6, 7, 2, 3),
        "conv.bias": (6,),
        "scale": (),
    }


def test_arrays_compute_the_same_in_both_layouts(params):
    state = names.to_peer(TABLE, params)
    x = np.random.default_rng(0).standard_normal(4)
    query_HK = np.einsum("d,dhk->hk", x, params["blocks"]["query"]["kernel"][1])
    np.testing.assert_allclose(state["h.1.q.weight"] @ x, query_HK.reshape(-1), rtol=1e-6)
    out_D = np.einsum("hk,hkd->d", query_HK, params["blocks"]["out"]["kernel"][0])
    np.testing.assert_allclose(state["h.0.o.weight"] @ query_HK.reshape(-1), out_D, rtol=1e-5)
    np.testing.assert_array_equal(state["conv.weight"][5, 6, 1, 2], params["conv"]["kernel"][1, 2, 6, 5])


def test_there_and_back_changes_no_bit(params):
    back = names.from_peer(TABLE, SPECS, names.to_peer(TABLE, params), "memory")
    jax.tree.map(np.testing.assert_array_equal, back, params)


def test_weights_are_read_into_the_specs_dtype(params):
    half = {name: array.astype(np.float16) for name, array in names.to_peer(TABLE, params).items()}
    back = names.from_peer(TABLE, SPECS, half, "memory")
    assert {array.dtype for array in jax.tree.leaves(back)} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(back["conv"]["bias"], half["conv.bias"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda state: state.pop("h.1.q.bias"), "weights in w.bin do not fit the model: h.1.q.bias is missing"),
        (lambda state: state.update(extra=np.zeros(3)), "extra is unknown"),
        (lambda state: state.update({"conv.bias": np.zeros(5)}), r"conv.bias has shape \(5,\), expected \(6,\)"),
    ],
)
def test_a_peer_that_does_not_fit_is_refused_by_name(params, damage, message):
    state = names.to_peer(TABLE, params)
    damage(state)
    with pytest.raises(ValueError, match=message):
        names.from_peer(TABLE, SPECS, state, "w.bin")


def test_a_parameter_that_the_peer_lacks_is_named_in_both_directions(params):
    with pytest.raises(ValueError, match="no place for scale"):
        names.from_peer(TABLE[:-1], SPECS, {}, "w.bin")
    with pytest.raises(ValueError, match="no place for scale"):
        names.to_peer(TABLE[:-1], params)
