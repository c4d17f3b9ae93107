"""However many processes a mesh is spread over: the same batches and noise, and losses and gradients to rounding; and
the same bits, where the layout is the same."""

from pathlib import Path

import jax
import launched
import numpy as np
import pytest
import small

from gen.training import metrics

LAYOUT = str(Path(launched.__file__).with_name("layout.py"))


def train(folder: Path, processes: int, devices: int, families: str, steps: int, mesh: str) -> Path:
    place = folder / f"{processes}x{devices}-{len(list(folder.iterdir()))}"
    how = (f"--workdir={place}", f"--families={families}", f"--steps={steps}", f"--mesh={mesh}")
    code, output = launched.run(processes, devices, LAYOUT, *how, local=("--idle_restarts=0",))
    assert code == 0, output
    return place


def losses(place: Path, family: str, steps: int) -> np.ndarray:
    rows = metrics.read(place / family / str(steps) / "metrics.jsonl")
    return np.array([[value for name, value in row.items() if name.endswith("loss")] for row in rows if len(row) > 1])


def gradients(place: Path, family: str) -> list[np.ndarray]:
    """Adam's first moments after one step are the gradients, in one scale."""
    players = small.left(place / family / "1").state["players"]
    return [leaf for player in players.values() for leaf in jax.tree.leaves(player["opt"]["0"]["mu"])]


def assert_same_training(one: Path, other: Path, family: str, steps: int) -> None:
    assert (one / family / "seen.json").read_text() == (other / family / "seen.json").read_text()
    first = losses(one, family, steps)
    assert len(first) == steps
    np.testing.assert_allclose(losses(other, family, steps), first, rtol=1e-6, equal_nan=True)
    scale = max(float(np.abs(g).max()) for g in gradients(one, family))
    for ours, theirs in zip(gradients(one, family), gradients(other, family), strict=True):
        # of some, as the bias of keys in attention, the gradient is zero but for rounding
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5 * max(float(np.abs(ours).max()), 1e-3 * scale))


def assert_same_bits(one: Path, other: Path, family: str, steps: int) -> None:
    here, there = small.left(one / family / str(steps)), small.left(other / family / str(steps))
    small.assert_equal(here.state, there.state)
    assert here.metrics == there.metrics


def test_two_processes_train_as_one_does(tmp_path):
    mesh = '{"fsdp": 2, "tensor": 2}'
    alone, pair = (train(tmp_path, n, 4 // n, "lm", 5, mesh) for n in (1, 2))
    assert_same_training(alone, pair, "lm", 5)


FAMILIES = ("lm", "clip", "prior", "decoder", "ppo")


@pytest.mark.prove
def test_every_family_on_every_layout(tmp_path):
    mesh, steps = '{"fsdp": 2, "tensor": 2}', 50
    alone, pair, again, four = (train(tmp_path, n, 8 // n, ",".join(FAMILIES), steps, mesh) for n in (1, 2, 2, 4))
    for family in FAMILIES:
        assert_same_training(alone, pair, family, steps)
        assert_same_training(alone, four, family, steps)
        assert_same_bits(pair, again, family, steps)
