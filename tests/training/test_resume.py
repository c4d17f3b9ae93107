"""Each real task, stopped at some step and run again, ends with the bits of the run that was never stopped."""

import numpy as np
import pytest
import small

from gen import exit_codes

STEPS = 5
STOP = np.random.default_rng(20).integers(1, STEPS - 1, len(small.FAMILIES)).tolist()


# compiling takes long; `make prove` has them all
PROVED = ("clip", "decoder", "upsampler", "chat", "reward", "dpo", "grpo", "classify")
CASES = [
    pytest.param(family, stop, marks=pytest.mark.prove if family in PROVED else ())
    for family, stop in zip(small.FAMILIES, STOP, strict=True)
]


@pytest.mark.parametrize("family, stop", CASES)
def test_resuming_is_bit_exact(tmp_path, family, stop):
    task = small.FAMILIES[family]()
    cfg = small.config(
        train={"steps": STEPS, "batch_size": 4, "accumulate": 2}, evals={"batches": 0}, optim={"lr": 0.01, "ema": 0.9}
    )
    data = small.Noise(task, 4)
    assert small.train(task, cfg, tmp_path / "whole", data) == exit_codes.DONE
    assert small.train(task, cfg, tmp_path / "stopped", small.Stop(data, stop)) == exit_codes.PREEMPTED
    assert small.left(tmp_path / "stopped").step == stop + 1
    assert small.train(task, cfg, tmp_path / "stopped", data) == exit_codes.DONE

    whole, stopped = small.left(tmp_path / "whole"), small.left(tmp_path / "stopped")
    small.assert_equal(whole.state, stopped.state)
    assert whole.metrics == stopped.metrics
    assert len(set(whole.metrics.splitlines())) > STEPS  # the steps differ from one another
