"""A checkpoint that was saved on one mesh is the same on every other: its arrays, the next batch, the next loss."""

import functools
import itertools
import shutil
from pathlib import Path

import jax
import launched
import numpy as np
import pytest
import small

from gen import exit_codes, tree
from gen import mesh as meshes
from gen.checkpoint import digest, restore
from gen.mesh import MeshConfig
from gen.training import metrics
from gen.training.compiled_step import Program
from gen.training.global_batch import make_global_batch

MESHES = {
    "data8": {"data": 8},
    "fsdp8": {"data": 1, "fsdp": 8},
    "fsdp4-tensor2": {"data": 1, "fsdp": 4, "tensor": 2},
    "data2-fsdp2-tensor2": {"data": 2, "fsdp": 2, "tensor": 2},
    "one": {},
}
NAMES = list(MESHES)
RING = [("data8", "fsdp4-tensor2"), ("fsdp4-tensor2", "one"), ("one", "data8")]
REST = [pair for pair in itertools.permutations(NAMES, 2) if pair not in RING]
SAVED = 3  # steps before the checkpoint that is read


def config(steps):
    optim = {"lr": 1e-2, "schedule": "constant", "ema": 0.9}
    return small.config(train={"steps": steps, "batch_size": 8}, optim=optim, evals={"every": 99, "batches": 0})


def run(directory, name, steps):
    assert small.train_on(small.lm(), config(steps), directory, mesh_of(name)) == exit_codes.DONE


def mesh_of(name):
    return meshes.make(MeshConfig(**MESHES[name]), jax.devices() if MESHES[name] else jax.devices()[:1])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Directories of runs by the name of their mesh, stopped after some steps."""
    root = tmp_path_factory.mktemp("saved")

    @functools.cache
    def directory(name):
        run(root / name, name, SAVED)
        return root / name

    return directory


def next_loss(directory):
    return {row["step"]: row["loss"] for row in metrics.read(directory / "metrics.jsonl") if "loss" in row}[SAVED]


def assert_the_same_elsewhere(saved, tmp_path, here, there):
    mesh = mesh_of(there)
    program = Program.of(small.lm(), config(SAVED), mesh)
    step, state = restore.restore(saved(here) / "checkpoints", program.state)
    as_saved = dict(tree.paths(small.left(saved(here)).state))
    assert step == SAVED and len(as_saved) > 20
    for path, array in tree.paths(state):
        assert array.sharding == dict(tree.paths(program.state))[path].sharding
        np.testing.assert_array_equal(np.asarray(array), as_saved[path])
    batch = make_global_batch(small.Noise(small.lm(), 8).batch, SAVED, 8, mesh)
    alone = meshes.make(MeshConfig(), jax.devices()[:1])
    assert digest.digests(batch) == digest.digests(make_global_batch(small.Noise(small.lm(), 8).batch, SAVED, 8, alone))
    for name, last in ((here, tmp_path / "here"), (there, tmp_path / "there")):
        run(shutil.copytree(saved(here), last), name, SAVED + 1)
    np.testing.assert_allclose(next_loss(tmp_path / "there"), next_loss(tmp_path / "here"), rtol=1e-6)


@pytest.mark.parametrize(("here", "there"), RING)
def test_from_mesh_to_mesh(saved, tmp_path, here, there):
    assert_the_same_elsewhere(saved, tmp_path, here, there)


@pytest.mark.prove
@pytest.mark.parametrize(("here", "there"), REST)
def test_from_every_mesh_to_every_other(saved, tmp_path, here, there):
    assert_the_same_elsewhere(saved, tmp_path, here, there)


LAYOUT = str(Path(launched.__file__).with_name("layout.py"))


def two_processes(out, steps):
    how = (f"--workdir={out}", f"--steps={steps}", '--mesh={"fsdp": 2, "tensor": 2}', "--lr=1e-2", "--ema=0.9")
    code, output = launched.run(2, 2, LAYOUT, *how, local=("--idle_restarts=0",))
    assert code == 0, output


@pytest.mark.prove
def test_between_one_process_and_two(saved, tmp_path):
    two_processes(tmp_path / "pair", SAVED)
    saved_by_two = tmp_path / "pair" / "lm" / str(SAVED)
    shutil.copytree(saved_by_two, tmp_path / "saved" / "pair")
    for name in NAMES:
        (tmp_path / name).mkdir()
        run(shutil.copytree(saved_by_two, tmp_path / name / "alone"), name, SAVED + 1)
        place = tmp_path / name / "again" / "lm" / str(SAVED + 1)
        two_processes_from(saved(name), place, tmp_path / name / "again")
        run(shutil.copytree(saved(name), tmp_path / name / "here"), name, SAVED + 1)
        np.testing.assert_allclose(next_loss(place), next_loss(tmp_path / name / "here"), rtol=1e-6)
    two_processes_from(saved_by_two, tmp_path / "on" / "lm" / str(SAVED + 1), tmp_path / "on")
    for name in NAMES:
        alone = next_loss(tmp_path / name / "alone")
        np.testing.assert_allclose(alone, next_loss(tmp_path / "on" / "lm" / str(SAVED + 1)), rtol=1e-6)
        step, state, _ = restore.load_params(saved_by_two / "checkpoints", SAVED)
        _, kept, _ = restore.load_params(tmp_path / name / "alone" / "checkpoints", SAVED)
        small.assert_equal(jax.tree.map(np.asarray, state), jax.tree.map(np.asarray, kept))


def two_processes_from(source, place, out):
    """Goes on with two processes from a checkpoint that lies elsewhere."""
    shutil.copytree(source, place)
    two_processes(out, SAVED + 1)
