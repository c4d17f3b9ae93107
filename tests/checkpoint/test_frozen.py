"""A checkpoint that an earlier version made: it must load in every later one, to the bit (freeze.py made it)."""

from pathlib import Path

import jax
import numpy as np
from freeze import SKIPS, STEP, values

from gen import tree
from gen.checkpoint import checksums, restore, verify

FROZEN = Path(__file__).parent / "frozen" / "checkpoints"


def test_every_array_is_what_was_saved():
    step, found, _ = restore.load_params(FROZEN)
    arrays = dict(tree.paths(found))
    assert step == STEP and arrays.keys() == values().keys()
    for path, expected in values().items():
        assert arrays[path].dtype == expected.dtype and arrays[path].shape == expected.shape, path
        assert np.asarray(arrays[path]).tobytes() == expected.tobytes(), path


def test_as_a_state_on_a_mesh():
    whole = jax.sharding.SingleDeviceSharding(jax.devices()[3])
    abstract = {path: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole) for path, x in values().items()}
    step, state = restore.restore(FROZEN, tree.nested(abstract))
    assert step == STEP and int(state["step"]) == STEP
    assert state["norms"]["model"].devices() == {jax.devices()[3]}


def test_its_proof_holds_and_its_json_is_read():
    assert verify.problems(FROZEN / str(STEP)) == []
    contents = checksums.read(FROZEN / str(STEP))
    assert contents.extra == {"skips": SKIPS, "launch": 1}
    assert sorted(path.name for path in (FROZEN / str(STEP) / "proof").iterdir()) == ["0.json", "1.json"]
