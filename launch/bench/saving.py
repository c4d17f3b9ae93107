"""What a save costs the loop: how long it blocks, beside a plain copy of the state, and what it does to the steps that
run while it is written.

found = measure_saving(prepare(data, overrides, rows, length), rounds=5)
found.blocked / found.copy                  # 1: no more than the copy from the devices
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from gen.checkpoint.checkpointer import Checkpointer
from launch.bench.models import Model, random_batch

STEPS = 8  # of a window: one with a save at its beginning, one without


class Saving(NamedTuple):
    """Medians in seconds: of a step with nothing beside it, of one while a save is being written, of the time for which
    saving blocks, of a copy of the state, and of a save until it is on disk. `bytes` are those of the state."""

    step: float
    beside: float
    blocked: float
    copy: float
    written: float
    bytes: int


def measure_saving(model: Model, rounds: int) -> Saving:
    """Windows with a save and without take turns, so that both meet the same noise."""
    state, key, step_fn = model.state, jax.random.key(0), model.program.step
    batch = random_batch(model, model.cfg.train.batch_size)
    plain: list[float] = []
    beside: list[float] = []
    blocked: list[float] = []
    copied: list[float] = []
    written: list[float] = []

    def step() -> float:
        nonlocal state
        began = time.perf_counter()
        state, metrics = step_fn(state, model.frozen, batch, key)
        jax.block_until_ready((state, metrics))
        return time.perf_counter() - began

    with jax.set_mesh(model.mesh), tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpointer(Path(folder), every=1, keep=1, keep_every=None)
        step()
        for number in range(rounds + 1):
            plain += [step() for _ in range(STEPS)]
            began = time.perf_counter()
            jax.tree.map(lambda x: np.array(x, copy=True), state)
            copied.append(time.perf_counter() - began)
            began = time.perf_counter()
            checkpoints.save(number, state)
            blocked.append(time.perf_counter() - began)
            while not checkpoints.settled():
                beside.append(step())
            written.append(time.perf_counter() - began)
            checkpoints.wait()
        checkpoints.close()
        size = sum(x.nbytes for x in jax.tree.leaves(state))
    after = lambda times: statistics.median(times[len(times) // (rounds + 1) :])  # the first round, which compiles
    return Saving(after(plain), after(beside), after(blocked), after(copied), after(written), size)
