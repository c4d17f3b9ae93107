from types import SimpleNamespace

import jax
import pytest

from gen import config
from launch.bench import timing
from launch.bench.__main__ import STACK_PARTS, main, selection
from launch.bench.models import measure_sampler, measure_step, models, random_batch, samples


@pytest.fixture(autouse=True)
def small_product(monkeypatch):
    monkeypatch.setattr(timing, "product_size", lambda: 16)


def transformer(**more):
    return {"width": 16, "layers": 1, "heads": 2, **more}


STACK = {
    "order": ("clip", "prior"),
    "stages": {
        "clip": {
            "task": {"name": "clip"},
            "model": {
                "embed": 8,
                "image": {"resolution": 8, "patch": 4, "transformer": transformer()},
                "text": {"vocab": 64, "context": 6, "transformer": transformer(causal=True)},
            },
            "data": {"source": "digits", "resolution": 8},
            "train": {"steps": 10, "batch_size": 16},
        },
        "prior": {
            "task": {"name": "prior", "sampler": {"solver": "ddpm", "steps": 2, "variance": "analytic", "clip": None}},
            "model": {"embed": 8, "context": 6, "states": 16, "transformer": transformer(causal=True)},
            "data": {"source": "digits", "resolution": 8},
            "train": {"steps": 10, "batch_size": 16},
            "upstream": {"clip": "clip"},
        },
    },
}


@pytest.mark.prove
def test_stages_are_timed_with_random_weights():
    clip, prior = models(STACK, ["clip", "prior"])
    assert samples(prior) and not samples(clip)
    step, sampler = measure_step(clip, repeats=1), measure_sampler(prior, repeats=1)
    assert (step.rows, sampler.rows) == (16, 16)
    for figure in (step, sampler):
        assert figure.seconds > 0 and figure.flops > 0 and figure.matmul > 0


def test_a_step_treats_outliers_as_its_config_says():
    def traced(action):
        spikes = {"stages": {"clip": {"train": {"spikes": {"action": action}}}}}
        (clip,) = models(config.merge(STACK, spikes), ["clip"])
        return str(clip.program.step.trace(clip.state, clip.frozen, random_batch(clip, 16), jax.random.key(0)).jaxpr)

    assert traced("note") != traced("skip")


def test_calls_take_turns_and_the_first_turn_does_not_count(monkeypatch):
    order = []
    clock = iter([0, 100, 100, 300, 300, 301, 301, 303, 303, 308, 308, 314])  # two calls a turn
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    taken = timing.medians([lambda: order.append("a"), lambda: order.append("b")], repeats=2)
    assert order == ["a", "b"] * 3
    assert taken == [3, 4]  # the means of 1 and 5, and of 2 and 6


def test_the_product_counts_as_it_is_computed():
    assert timing.product_flops() == 2 * 16**3
    assert timing.measure_matmul("float32", repeats=1).name == "matmul, float32"
    assert jax.eval_shape(timing.product("float32")).shape == (16, 16)


def test_what_is_timed_is_chosen_by_name():
    stages = ("clip", "prior")
    assert selection(["clip", "conv"], (*stages, "conv")) == {"clip", "conv"}
    assert selection(["all"], (*stages, *STACK_PARTS)) == {"clip", "prior", "sample", "compile", "conv"}
    with pytest.raises(ValueError, match="--what=decoder: choose from clip, prior, all"):
        selection(["decoder"], stages)
    with pytest.raises(ValueError, match="--what= names nothing: choose from"):
        selection([], stages)


def test_a_config_of_neither_kind_is_refused(tmp_path):
    config = tmp_path / "config.py"
    config.write_text("from ml_collections import ConfigDict\ndef get_config(): return ConfigDict({'task': {}})\n")
    with pytest.raises(ValueError, match="neither a stack"):
        main(SimpleNamespace(config=str(config), what=["all"], json=None, png=None, overwrite=False), [])
