"""A program that comes again is found, within the context and not after it."""

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache

from gen.runs.compile_cache import PLACE, compiled_once

KEPT = "jax_persistent_cache_min_compile_time_secs"


@pytest.fixture(autouse=True)
def no_place():
    """Nothing is kept, as in a program; tests have a place for what they compile."""
    before = jax.config.values[PLACE]
    jax.config.update(PLACE, None)
    compilation_cache.reset_cache()
    yield
    jax.config.update(PLACE, before)
    compilation_cache.reset_cache()


@pytest.fixture
def hits():
    """Names of events, of which jax records one for each program that it finds in its cache."""
    seen: list[str] = []
    listener = lambda event, **_: seen.append(event)
    jax.monitoring.register_event_listener(listener)
    before = jax.config.values[KEPT]
    jax.config.update(KEPT, 0.0)
    yield lambda: seen.count("/jax/compilation_cache/cache_hits")
    jax.config.update(KEPT, before)
    jax.monitoring.unregister_event_listener(listener)


def run(seed: int) -> None:
    """A program of its own each time, as a run of another seed has; the seed is its argument."""
    x = jnp.full(3, seed, jnp.float32)
    jax.jit(lambda x: jnp.sin(x) @ jnp.cos(x)).lower(x).compile()


def test_the_same_program_is_compiled_once_within_and_anew_behind(hits):
    run(0)
    assert hits() == 0
    with compiled_once():
        run(1)
        first = hits()
        run(2)
        assert hits() > first
    before = hits()
    run(3)
    assert hits() == before and jax.config.values[PLACE] is None


def test_a_place_that_the_user_chose_stays(tmp_path):
    jax.config.update(PLACE, str(tmp_path))
    with compiled_once():
        assert jax.config.values[PLACE] == str(tmp_path)
    assert jax.config.values[PLACE] == str(tmp_path)
