"""What is read back equals what was saved, on any mesh; damage is found and named."""

import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import struct
from jax.sharding import AxisType

from gen import files
from gen.checkpoint import checksums, digest, restore, step_dir, verify
from gen.checkpoint.checkpointer import Checkpointer
from gen.checkpoint.restore import NoIntactCheckpoint


@struct.dataclass
class State:
    step: jax.Array
    params: dict
    opt: tuple
    ema: dict
    key: jax.Array
    nothing: None = None


def make_state(seed=0):
    rng = np.random.default_rng(seed)
    params = {
        "kernel": jnp.asarray(rng.standard_normal((16, 8)), jnp.float32),
        "scale": jnp.asarray(rng.standard_normal(8), jnp.bfloat16),
        "none": jnp.zeros((0, 4), jnp.float16),
        "on": jnp.asarray([True, False]),
    }
    return State(
        jnp.int32(seed), params, optax.adam(1e-3).init(params["kernel"]), {"model": params}, jax.random.key(seed)
    )


def save(directory, *states):
    checkpointer = Checkpointer(directory, every=1, keep=len(states), keep_every=None)
    for step, state in enumerate(states):
        checkpointer.save(step, state, extra_json={"step": step})
    checkpointer.close()
    return directory


def bits(x):
    x = jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
    return x.dtype.name, x.shape, np.asarray(x).tobytes()


def same(a, b):
    return jax.tree.structure(a) == jax.tree.structure(b) and jax.tree.map(bits, a) == jax.tree.map(bits, b)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save(tmp_path_factory.mktemp("saved"), make_state(0), make_state(1))


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "checkpoints")


def abstract():
    return jax.eval_shape(make_state)


def read(directory, **kwargs):
    """(step, state, warnings)"""
    said = []
    step, state = restore.restore(directory, abstract(), warn=said.append, **kwargs)
    return step, state, said


def test_bits_and_types_come_back(saved):
    step, state, said = read(saved)
    assert step == 1 and not said and same(state, make_state(1)) and isinstance(state, State)
    assert same(read(saved, step=0)[1], make_state(0))


def test_another_mesh(tmp_path):
    def placed(shape, names, spec):
        mesh = jax.make_mesh(shape, names, axis_types=(AxisType.Auto,) * len(shape))
        sharding = jax.NamedSharding(mesh, jax.P(*spec))
        return {"w": jax.device_put(jnp.arange(128.0).reshape(16, 8), sharding)}

    first, second = placed((4, 2), ("a", "b"), ("a", "b")), placed((8,), ("c",), (None, "c"))
    save(tmp_path / "c", first)
    for target in (first, second):
        found = restore.restore(tmp_path / "c", target)[1]
        assert same(found, target) and found["w"].sharding == target["w"].sharding
        part = restore.load_params(tmp_path / "c", shardings={"w": target["w"].sharding})
        assert part[1]["w"].sharding == target["w"].sharding


def test_cast_after_verifying(tmp_path):
    save(tmp_path / "c", {"w": jnp.asarray([1 / 3, 1e-3], jnp.float32)})
    found = restore.restore(tmp_path / "c", {"w": jax.ShapeDtypeStruct((2,), jnp.bfloat16)})[1]["w"]
    assert bits(found) == bits(jnp.asarray([1 / 3, 1e-3], jnp.float32).astype(jnp.bfloat16))


def test_a_part_without_the_rest(saved):
    step, part, name = restore.load_params(saved, subtree="ema/model")
    assert step == 1 and same(part, make_state(1).params)
    assert name == digest.combine(digest.digests(make_state(1).params))
    assert name != restore.load_params(saved, step=0, subtree="ema/model")[2]
    with pytest.raises(ValueError, match="holds no 'emb'; it holds .*ema/model"):
        restore.load_params(saved, subtree="emb")
    with pytest.raises(ValueError, match="shardings do not name .*: kernel, none, on, scale, w in one"):
        restore.load_params(saved, subtree="ema/model", shardings={"w": jax.devices()[0]})


def test_no_checkpoints(tmp_path, saved):
    assert restore.restore(tmp_path / "none", abstract()) is None
    with pytest.raises(NoIntactCheckpoint, match="train that run first"):
        restore.load_params(tmp_path / "none")
    with pytest.raises(ValueError, match=r"no checkpoint 7 in .*; there are \[0, 1\]"):
        restore.restore(saved, abstract(), step=7)


def test_another_model_is_an_error_and_no_damage(saved):
    wrong = abstract()
    wrong.params["kernel"] = jax.ShapeDtypeStruct((16, 9), jnp.float32)
    wrong.params["more"] = wrong.params.pop("on")
    with pytest.raises(ValueError) as error:
        restore.restore(saved, wrong)
    for part in (
        "params/more is missing",
        "params/on is unknown",
        r"params/kernel has shape (16, 8), expected (16, 9)",
    ):
        assert part in str(error.value)
    assert not isinstance(error.value, NoIntactCheckpoint)


def test_a_damaged_step_is_named_and_the_one_before_used(copy):
    largest = max(files.regular_files(copy / "1").values(), key=lambda path: path.stat().st_size)
    flip(largest, 50)
    step, state, said = read(copy)
    assert step == 0 and same(state, make_state(0))
    assert len(said) == 1 and str(copy / "1") in said[0] and str(largest.relative_to(copy / "1")) in said[0]
    with pytest.raises(NoIntactCheckpoint):
        read(copy, step=1)
    shutil.rmtree(copy / "0")
    with pytest.raises(NoIntactCheckpoint, match="tried 1"):
        read(copy)


def test_a_changed_array_is_named_where_no_file_is_recorded(tmp_path):
    save(tmp_path / "c", {"a": jnp.arange(1000.0), "b": jnp.ones(3)})
    save(tmp_path / "d", {"a": jnp.arange(1000.0).at[77].set(0), "b": jnp.ones(3)})
    (tmp_path / "c" / "0.files.json").unlink()
    shutil.rmtree(tmp_path / "c" / "0" / "state")
    shutil.copytree(tmp_path / "d" / "0" / "state", tmp_path / "c" / "0" / "state")
    said = []
    with pytest.raises(NoIntactCheckpoint):
        restore.restore(tmp_path / "c", {"a": jnp.zeros(1000), "b": jnp.zeros(3)}, warn=said.append)
    assert "the array a has digest" in said[0]


def flip(path, bit):
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)


def truncate(path, size):
    os.truncate(path, size % path.stat().st_size)


# Orbax leaves coroutines behind when it meets a damaged file
@pytest.mark.filterwarnings("ignore:coroutine", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("recorded", [True, False])
def test_random_damage_is_found_or_changes_nothing(copy, recorded):
    rng = np.random.default_rng(recorded)
    shutil.rmtree(copy / "0")
    if not recorded:
        (copy / "1.files.json").unlink()
    found = 0
    paths = [path for path in files.regular_files(copy / "1").values() if path.stat().st_size]
    for path in paths:
        original = path.read_bytes()
        for damage in (flip, flip, flip, truncate):
            damage(path, int(rng.integers(8 * len(original))))
            try:
                assert same(read(copy)[1], make_state(1)), path
                assert not recorded, path
            except NoIntactCheckpoint:
                found += 1
            path.write_bytes(original)
    assert found == 4 * len(paths) if recorded else found > 0
    assert same(read(copy)[1], make_state(1))


def test_a_missing_file_is_named(copy):
    (copy / "1" / "state" / "manifest.ocdbt").unlink()
    assert "the file state/manifest.ocdbt is missing" in read(copy)[2][0]


def test_a_file_that_cannot_be_read_is_damage(copy, monkeypatch):
    sha256 = files.sha256

    def broken(path):
        if path.is_relative_to(copy / "1"):
            raise OSError(5, "Input/output error", str(path))
        return sha256(path)

    monkeypatch.setattr(files, "sha256", broken)
    step, _, said = read(copy)
    assert step == 0 and "Input/output error" in said[0]


def test_a_damaged_record_of_files_is_named(copy):
    (copy / "1.files.json").write_text("{")
    assert "1.files.json" in read(copy)[2][0]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: path.unlink(), "0.json does not exist"),
        (lambda path: path.write_text("{}"), "0.json cannot be read"),
        (lambda path: path.write_text(path.read_text().replace('"shape"', '"shapf"')), "0.json has changed"),
    ],
)
def test_without_proof_inside_it_is_not_intact(copy, damage, told):
    (copy / "1.files.json").unlink()
    damage(copy / "1" / "proof" / "0.json")
    step, _, said = read(copy)
    assert step == 0 and told in said[0]


@pytest.mark.parametrize("what", ["file", "directory", "step", "pipe"])
def test_links_and_pipes_are_refused(copy, tmp_path, what):
    place = {"file": "1/state/manifest.ocdbt", "directory": "1/state/d", "step": "1", "pipe": "1/state/pipe"}[what]
    if what == "pipe":
        os.mkfifo(copy / place)
    else:
        (copy / place).rename(tmp_path / "elsewhere")
        (copy / place).symlink_to(tmp_path / "elsewhere")
    step, _, said = read(copy)
    assert step == 0 and ("symbolic link" if what == "step" else "not a regular file") in said[0]


def test_two_names_that_orbax_would_confuse():
    with pytest.raises(ValueError, match="same name"):
        step_dir.pack({"a": {"b": jnp.ones(1)}, "a.b": jnp.ones(1)}, {})


def forge(path, change):
    """What a step says that it holds, changed by somebody who knows how it is checked."""
    step_dir.files_record(path).unlink(missing_ok=True)
    file = path / "proof" / "0.json"
    said = json.loads(file.read_text())
    del said["sha256"]
    change(said)
    file.write_text(json.dumps({**said, "sha256": checksums._sha256(said)}))


def kernel(said):
    return next(one for one in said["arrays"].values() if len(one["shape"]) == 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda said: kernel(said).update(shape=[2**20, 2**20]),
        lambda said: kernel(said).update(shape=[2**40, 2**40]),
        lambda said: kernel(said).update(shape=[-1, 3]),
        lambda said: kernel(said).update(dtype="float64"),
        lambda said: kernel(said).update(dtype="object"),
        lambda said: kernel(said).update(sums="x" * 16),
        lambda said: said.update(processes=10**15),
        lambda said: said.update(arrays=[]),
        lambda said: said.update(origin={"step": "1"}),
        lambda said: said["arrays"].update({f"a/{i}": kernel(said) for i in range(3000)}),
        lambda said: said["arrays"].update({"": kernel(said), "a//b": kernel(said), "a": kernel(said)}),
    ],
)
def test_a_forged_proof_is_refused_and_takes_no_memory(copy, change):
    forge(copy / "1", change)
    step, _, said = read_part(copy)
    assert step == 0 and "is damaged and is not used" in said[0]
    problems = verify.problems(copy / "1")
    assert problems and len(problems) < 30 and all(len(problem) < 400 for problem in problems)


def read_part(directory):
    said = []
    step, state, _ = restore.load_params(directory, warn=said.append)
    return step, state, said
