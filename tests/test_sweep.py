"""How sweeps are put together."""

import math

import pytest

from gen.sweep.space import chain, choice, draws, log_uniform, over, product, uniform, zipped


def test_product_is_every_combination_and_the_last_varies_fastest():
    assert product(over("a", 1, 2), over("b.c", "x", "y")) == [
        {"a": 1, "b.c": "x"},
        {"a": 1, "b.c": "y"},
        {"a": 2, "b.c": "x"},
        {"a": 2, "b.c": "y"},
    ]
    assert product() == [{}] and product(over("a", 1), over("b")) == []
    assert product(iter(over("a", 1, 2)), iter(over("b", 3, 4))) == product(over("a", 1, 2), over("b", 3, 4))


def test_zipped_pairs_and_chain_appends():
    assert zipped(over("a", 1, 2), over("b", 3, 4)) == [{"a": 1, "b": 3}, {"a": 2, "b": 4}]
    assert chain(over("a", 1), [{}], over("a", 2)) == [{"a": 1}, {}, {"a": 2}]


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ValueError, match="sweeps of 2, 1 trials"):
        zipped(over("a", 1, 2), over("b", 3))
    for put_together in (product, zipped):
        with pytest.raises(ValueError, match="a is set twice"):
            put_together(over("a", 1), over("a", 2))
    with pytest.raises(ValueError, match=r"log_uniform\('a', 0.0, 1.0\)"):
        log_uniform("a", 0.0, 1.0)


def test_draws_depend_on_seed_key_and_trial_alone():
    keys = (log_uniform("lr", 1e-4, 1e-2), uniform("decay", 0.0, 0.5), choice("width", [32, 64, 128]))
    few = draws(5, *keys, seed=3)
    assert draws(50, *keys, seed=3)[:5] == few
    assert [t["lr"] for t in draws(5, keys[0], seed=3)] == [t["lr"] for t in few]
    assert draws(5, *keys, seed=4) != few and len({t["lr"] for t in few}) == 5
    assert few[0] == {"lr": 0.000124, "decay": 0.2163, "width": 128}  # on every machine, in every version of Python


def test_draws_are_spread_as_they_are_named():
    trials = draws(4000, log_uniform("lr", 1e-4, 1e-2), uniform("decay", -1.0, 1.0), choice("width", ["a", "b"]))
    logs = [math.log10(t["lr"]) for t in trials]
    assert min(logs) >= -4 and max(logs) <= -2 and abs(sum(logs) / 4000 + 3) < 0.03
    assert abs(sum(math.log10(t["lr"]) < -3.5 for t in trials) / 4000 - 0.25) < 0.03
    assert abs(sum(t["decay"] for t in trials) / 4000) < 0.03 and all(-1 <= t["decay"] <= 1 for t in trials)
    assert abs(sum(t["width"] == "a" for t in trials) / 4000 - 0.5) < 0.03
    assert all(float(f"{t['lr']:.4g}") == t["lr"] for t in trials)
