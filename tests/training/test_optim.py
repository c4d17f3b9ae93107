"""Schedules, masks and optimizers against their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gen import spec, tree
from gen.config import ConfigError
from gen.spec import Spec
from gen.training.optim import OptimConfig, clipping, moving, optimizer, schedule

SPECS = {
    "text": {"kernel": Spec((2, 3), (None, None), spec.ones), "bias": Spec((3,), (None,), spec.ones)},
    "image": {"kernel": Spec((2, 3), (None, None), spec.ones), "scale": Spec((3,), (None,), spec.ones)},
}
PARAMS = jax.tree.map(lambda s: jnp.full(s.shape, 2.0), SPECS, is_leaf=lambda x: isinstance(x, Spec))
GRADS = jax.tree.map(lambda p: jnp.linspace(-1.0, 2.0, p.size).reshape(p.shape), PARAMS)


def first_update(**keys):
    """The first update of a constant rate of 1 without clipping, unless `keys` say otherwise."""
    cfg = OptimConfig(**{"lr": 1.0, "schedule": "constant", "clip": None} | keys)
    transform = optimizer(cfg, SPECS, updates=10)
    return transform.update(GRADS, transform.init(PARAMS), PARAMS)[0]


@pytest.mark.parametrize(
    "name, middle, end",
    [("cosine", 0.1 + 0.9 * (1 + np.cos(np.pi / 4)) / 2, 0.1), ("linear", 0.1 + 0.9 * 0.75, 0.1), ("constant", 1, 1)],
)
def test_schedules_warm_up_and_end(name, middle, end):
    rate = schedule(OptimConfig(lr=2.0, schedule=name, warmup=10, final=0.1), updates=50)
    np.testing.assert_allclose([rate(0), rate(5), rate(10)], [0.0, 1.0, 2.0], rtol=1e-6)
    np.testing.assert_allclose([rate(20), rate(50), rate(99)], [2 * middle, 2 * end, 2 * end], rtol=1e-6)


def test_without_warmup_the_first_update_has_the_peak_rate():
    assert schedule(OptimConfig(lr=2.0), updates=50)(0) == 2.0


def test_a_rate_of_zero_moves_nothing_and_one_below_it_is_refused():
    assert all(np.all(np.asarray(leaf) == 0) for leaf in jax.tree.leaves(first_update(lr=0.0, weight_decay=0.1)))
    with pytest.raises(ValueError, match=r"lr=-0\.1 must be at least 0"):
        OptimConfig(lr=-0.1)


def test_adamw_decays_all_but_biases_and_scales():
    decayed, plain = first_update(weight_decay=0.1), first_update()
    difference = jax.tree.map(lambda a, b: np.unique(np.round(a - b, 5)).tolist(), decayed, plain)
    assert difference == {
        "text": {"kernel": [pytest.approx(-0.2)], "bias": [0.0]},
        "image": {"kernel": [pytest.approx(-0.2)], "scale": [0.0]},
    }


def test_decay_rules_multiply_the_decay():
    decayed = first_update(weight_decay=0.1, decay_rules=(("^text/", 0.5), ("scale", 1.0), (".*", 0.0)))
    difference = jax.tree.map(lambda a, b: float((a - b).mean()), decayed, first_update())
    expected = {"text": {"kernel": -0.1, "bias": -0.1}, "image": {"kernel": 0.0, "scale": -0.2}}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), difference, expected)


def test_rate_rules_slow_down_and_freeze_decay_included():
    rules = (("^text/", 0.1), ("scale", 0.0), (".*", 1.0))
    slowed, plain = first_update(weight_decay=0.1, lr_rules=rules), first_update(weight_decay=0.1)
    expected = {**jax.tree.map(lambda u: 0.1 * u, plain["text"]), **plain["image"], "scale": np.zeros(3)}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), slowed["text"] | slowed["image"], expected)


@pytest.mark.parametrize("key", ["lr_rules", "decay_rules"])
def test_a_misspelt_rule_and_a_leaf_without_one_are_errors(key):
    with pytest.raises(ValueError, match=rf"^optim\.{key}: the rule 'txet/' matches no parameter"):
        first_update(weight_decay=0.1, **{key: (("txet/", 0.1), (".*", 1.0))})
    with pytest.raises(ValueError, match=rf"^optim\.{key}: no rule matches image/kernel, image/scale"):
        first_update(weight_decay=0.1, **{key: (("text/", 0.1),)})


def test_clipping_bounds_the_global_norm_and_leaves_what_is_within_it():
    factor = lambda norm, bound: float(clipping(jnp.float32(norm), bound))
    assert 4.0 * factor(4.0, 0.5) == 0.5
    assert [factor(norm, 0.5) for norm in (0.5, 0.25, 0.0)] == [1.0, 1.0, 1.0]
    assert factor(4.0, None) == 1.0
    assert np.isnan(factor(np.nan, 0.5)), "the step must see it, and be skipped"


def test_lion_moves_by_signs():
    jax.tree.map(lambda u, g: np.testing.assert_array_equal(u, -np.sign(g)), first_update(name="lion"), GRADS)


def test_adafactor_keeps_row_and_column_means_of_large_matrices_and_bounds_updates():
    specs = {"kernel": Spec((128, 256), (None, None), spec.ones)}
    params, grads = {"kernel": jnp.ones((128, 256))}, {"kernel": jnp.ones((128, 256)).at[0].set(30.0)}
    cfg = OptimConfig("adafactor", lr=1.0, schedule="constant", clip=None)
    transform = optimizer(cfg, specs, updates=10)
    state = transform.init(params)
    assert max(leaf.size for leaf in jax.tree.leaves(state)) == 256
    update = np.asarray(transform.update(grads, state, params)[0]["kernel"])
    rms = lambda x, axis: np.mean(np.square(x), axis=axis, keepdims=True)
    g = np.asarray(grads["kernel"], np.float64)
    expected = g / np.sqrt(rms(g, 1) * rms(g, 0) / rms(g, None))
    np.testing.assert_allclose(update, -expected / max(1, np.sqrt(rms(expected, None)).item()), rtol=1e-5)


def test_a_player_has_keys_of_its_own():
    cfg = OptimConfig(lr=1.0, warmup=3, players={"critic": {"lr": "0.5", "name": "lion"}})
    assert (cfg.of("critic").lr, cfg.of("critic").name, cfg.of("critic").warmup) == (0.5, "lion", 3)
    assert (cfg.of("actor").lr, cfg.of("actor").name) == (1.0, "adamw")
    with pytest.raises(ConfigError, match=r"no key 'optim\.players\.critic\.lrr'; did you mean 'lr'"):
        OptimConfig(players={"critic": {"lrr": 1.0}}).of("critic")


def test_muon_makes_each_matrix_orthogonal_and_leaves_the_rest_to_adam():
    """Matrices map the stream or back to it, one for each layer, heads merged; a table of tokens is none."""
    specs = {
        "query": Spec((2, 6, 2, 4), ("layers", "embed", "heads", None), spec.ones),
        "out": Spec((2, 2, 4, 6), ("layers", "heads", None, "embed"), spec.ones),
        "tokens": Spec((5, 6), ("vocab", "embed"), spec.ones),
        "scale": Spec((6,), (None,), spec.ones),
    }
    draw = np.random.default_rng(0)
    grads = {name: jnp.asarray(draw.normal(size=s.shape), jnp.float32) for name, s in specs.items()}
    params = jax.tree.map(jnp.zeros_like, grads)

    def update(transform):
        return transform.update(grads, transform.init(params), params)[0]

    cfg = OptimConfig(name="muon", lr=1.0, schedule="constant", clip=None)
    muon, adam = update(optimizer(cfg, specs, updates=10)), update(optax.nadam(1.0, cfg.b1, cfg.b2))
    for name in ("tokens", "scale"):
        np.testing.assert_allclose(muon[name], adam[name], rtol=1e-5)
    for name, shape in (("query", (6, 8)), ("out", (8, 6))):
        for layer in range(2):
            matrix, gradient = (np.asarray(x[name][layer]).reshape(shape) for x in (muon, grads))
            singular = np.linalg.svd(matrix, compute_uv=False)
            assert singular.max() / singular.min() < 2  # five Newton-Schulz steps leave them between 0.7 and 1.2
            left, _, right = np.linalg.svd(gradient, full_matrices=False)
            assert -(matrix * (left @ right)).sum() / np.linalg.norm(matrix) / np.sqrt(6) > 0.97
            np.testing.assert_allclose(np.sqrt((matrix**2).mean()), 0.2, rtol=0.2)  # the size of Adam's


@pytest.mark.parametrize("name", ["adamw", "adafactor", "lion", "muon"])
def test_what_is_frozen_has_no_slots(name):
    cfg = OptimConfig(name, weight_decay=0.1, freeze=("^text/", "scale"))
    part = moving(cfg, SPECS)
    assert part(PARAMS) == {"image": {"kernel": PARAMS["image"]["kernel"]}}
    transform = optimizer(cfg, SPECS, updates=10)
    state = transform.init(part(PARAMS))
    changes, _ = transform.update(part(GRADS), state, part(PARAMS))
    assert set(changes) == {"image"} and set(changes["image"]) == {"kernel"}
    assert not [path for path, _ in tree.paths(state) if "text" in path or "scale" in path]


def test_freezing_must_match_and_must_leave_something():
    with pytest.raises(
        ValueError, match=r"^optim\.freeze: 'txet/' matches no parameter; the nearest are .*text/kernel"
    ):
        optimizer(OptimConfig(freeze=("txet/",)), SPECS, updates=10)
    with pytest.raises(ValueError, match=r"^optim\.freeze=\['image', 'text'\] leaves no parameter to train"):
        optimizer(OptimConfig(freeze=("image", "text")), SPECS, updates=10)
    assert OptimConfig(players={"critic": {"freeze": "text,scale"}}).of("critic").freeze == ("text", "scale")
