"""Processes are killed and stopped at random, inside of saves as well; the run ends with the bits of one left alone."""

import dataclasses
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import launched
import numpy as np
import pytest
import small

from gen.checkpoint import restore

TRAIN = (
    *("-m", "launch.train", "--config=configs/lm/gpt2.py:tiny", "--heartbeat=20", "--join_timeout=60"),
    *("--config.checkpoint.every=5", "--config.checkpoint.keep=2", "--config.log.every=1"),
    *("--config.evals.every=100000", "--config.evals.batches=1", "--config.evals.samples=0"),
)
LOCAL = ("--idle_restarts=100", "--pause=0.1", "--grace=30")


@dataclasses.dataclass
class Seen:
    """(seconds, step): the newest checkpoint as each signal was sent, and where the run was taken up again."""

    signals: list[tuple[float, int]] = dataclasses.field(default_factory=list)
    resumed: list[tuple[float, int]] = dataclasses.field(default_factory=list)
    in_saves: int = 0
    output: list[str] = dataclasses.field(default_factory=list)


def train(workdir: Path, steps: int, signals: int = 0, seed: int = 0, pause: float = 10.0) -> Seen:
    """Trains to the end, over so many random signals to random processes, at most `pause` seconds apart."""
    seen, draw = Seen(), np.random.default_rng(seed)
    command = (*TRAIN, f"--workdir={workdir}", f"--config.train.steps={steps}")
    with launched.start(2, 1, *command, local=LOCAL) as started:
        arguments = (started, workdir / "checkpoints", signals, pause, draw, seen)
        killer = threading.Thread(target=disturb, args=arguments)
        killer.start()
        assert started.stdout is not None
        for line in started.stdout:
            seen.output.append(line)
            if found := re.search(r"resumed at step (\d+)", line):
                seen.resumed.append((time.monotonic(), int(found[1])))
        killer.join()
    assert started.returncode == 0, "".join(seen.output)
    return seen


def disturb(
    started: subprocess.Popen, checkpoints: Path, signals: int, pause: float, draw: np.random.Generator, seen: Seen
) -> None:
    while len(seen.signals) < signals and started.poll() is None:
        time.sleep(draw.uniform(0, pause))
        if draw.uniform() < 0.5:
            await_save(checkpoints)
        newest = max(restore.steps(checkpoints), default=0)
        children = Path(f"/proc/{started.pid}/task/{started.pid}/children")
        processes = children.read_text().split() if children.exists() else []
        if not processes or not newest:
            continue
        in_save = any(checkpoints.glob("*tmp*"))
        try:
            os.kill(int(draw.choice(processes)), signal.SIGKILL if draw.uniform() < 0.7 else signal.SIGTERM)
        except ProcessLookupError:
            continue
        seen.signals.append((time.monotonic(), newest))
        seen.in_saves += in_save


def await_save(checkpoints: Path, limit: float = 5.0) -> None:
    """Until one is being written: where saves are quick, few signals would meet one by chance."""
    end = time.monotonic() + limit
    while not any(checkpoints.glob("*tmp*")) and time.monotonic() < end:
        time.sleep(0.001)


def check(undisturbed: Path, workdir: Path, seen: Seen) -> None:
    here, there = small.left(undisturbed), small.left(workdir)
    assert here.step == there.step
    small.assert_equal(here.state, there.state)
    assert here.metrics == there.metrics
    for sent, newest in seen.signals:  # what was on disk is taken up again, so that nothing before it is done twice
        later = [step for when, step in seen.resumed if when > sent]
        assert not later or later[0] >= newest


def test_a_signal(tmp_path):
    train(tmp_path / "alone", 40)
    seen = train(tmp_path / "disturbed", 40, signals=1, seed=1, pause=0.5)
    assert len(seen.signals) == 1 and seen.resumed
    check(tmp_path / "alone", tmp_path / "disturbed", seen)


@pytest.mark.prove
def test_fifty_signals(tmp_path):
    train(tmp_path / "alone", 600)
    count = in_saves = 0
    for seed in range(100):
        seen = train(tmp_path / f"disturbed-{seed}", 600, signals=12, seed=seed)
        check(tmp_path / "alone", tmp_path / f"disturbed-{seed}", seen)
        count, in_saves = count + len(seen.signals), in_saves + seen.in_saves
        if count >= 50:
            break
    print(f"{count} signals, {in_saves} of them inside of saves, {seed + 1} runs")
    assert count >= 50 and in_saves >= 10
