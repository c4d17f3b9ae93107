"""A trace covers the steps asked for, however a run begins and ends."""

import jax
import pytest

from gen.training.trace import Trace


@pytest.fixture
def traced(monkeypatch, tmp_path):
    """Runs steps under a Trace; gives the steps that were traced, and whether the trace was closed."""

    def run(span, steps):
        calls, on = [], []
        monkeypatch.setattr(jax.profiler, "start_trace", lambda directory: calls.append("start"))
        monkeypatch.setattr(jax.profiler, "stop_trace", lambda: calls.append("stop"))
        with Trace(span, tmp_path) as trace:
            for step in steps:
                trace.before(step, ())
                on += [step] if calls[-1:] == ["start"] else []
        assert calls in ([], ["start", "stop"])
        return on

    return run


@pytest.mark.parametrize(
    "span, steps, on",
    [
        ((3, 5), range(8), [3, 4, 5]),
        ((3, 5), range(4, 8), [4, 5]),  # resumed amid
        ((3, 5), range(4), [3]),  # stopped amid
        ((3, 3), range(8), [3]),
        ((3, 5), range(6, 9), []),
        (None, range(8), []),
    ],
)
def test_the_steps_of_the_span_are_traced(traced, span, steps, on):
    assert traced(span, steps) == on


def test_a_span_that_ends_before_it_starts(tmp_path):
    with pytest.raises(ValueError, match=r"^train\.trace=\(5, 3\): the first step to trace comes after the last$"):
        Trace((5, 3), tmp_path)
