"""Random damage of every file of a real run's checkpoint: what changes a value is found at load and by verify, the file
is named, and the last intact step is used."""

import logging
import os
import shutil

import jax
import numpy as np
import pytest
import small

from gen import exit_codes, files
from gen.checkpoint import checksums, restore, verify
from gen.checkpoint.restore import NoIntactCheckpoint

pytestmark = [
    pytest.mark.prove,
    # Orbax leaves coroutines behind when it meets a damaged file
    pytest.mark.filterwarnings("ignore:coroutine", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("run") / "lm"
    cfg = small.config(train={"steps": 4, "batch_size": 8}, optim={"ema": 0.9}, evals={"every": 99, "batches": 0})
    assert small.train(small.lm(), cfg, place, fsdp=2, tensor=2) == exit_codes.DONE
    return place / "checkpoints"


def values(directory, step=None):
    found, state, _ = restore.load_params(directory, step, warn=lambda said: values.said.append(said))
    return found, jax.tree.map(np.asarray, state)


def damages(rng, directory):
    """200 flipped bits and 50 truncations, over all files in turn, large ones more often."""
    every = [path for path in files.regular_files(directory).values() if path.stat().st_size]
    sizes = np.array([path.stat().st_size for path in every])
    chosen = [*every, *rng.choice(every, 250 - len(every), p=sizes / sizes.sum())]
    for number, path in enumerate(chosen):
        original = path.read_bytes()
        if number % 5 == 4:
            os.truncate(path, int(rng.integers(len(original))))
        else:
            flipped = bytearray(original)
            bit = int(rng.integers(8 * len(original)))
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
        yield path, number % 5 == 4
        path.write_bytes(original)


@pytest.mark.parametrize("recorded", [True, False])
def test_no_damage_goes_unseen(run, tmp_path, recorded):
    """With the record of files each damage is found; without it each that changes a value."""
    copy = shutil.copytree(run, tmp_path / "checkpoints")
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # pages of what Orbax has left behind
    values.said = []
    _, intact = values(copy, 4)
    _, before = values(copy, 2)
    if not recorded:
        (copy / "4.files.json").unlink()
    counts = {"flips": 0, "truncations": 0, "found": 0, "harmless": 0}
    for path, truncated in damages(np.random.default_rng(recorded), copy / "4"):
        counts["truncations" if truncated else "flips"] += 1
        values.said.clear()
        step, state = values(copy)
        problems = verify.problems(copy / "4")
        if step == 4:
            counts["harmless"] += 1
            assert not recorded, path
            small.assert_equal(state, intact)
            continue
        counts["found"] += 1
        small.assert_equal(state, before)
        assert step == 2 and problems and str(copy / "4") in values.said[0]
        if recorded:
            name = str(path.relative_to(copy / "4"))
            assert f"the file {name} has changed" in values.said[0]
            assert any(name in problem for problem in problems)
    print(counts)
    assert counts["flips"] == 200 and counts["truncations"] == 50
    assert counts["found"] == 250 if recorded else counts["found"] > 100


def test_what_lies_outside_of_a_foreign_checkpoint_is_not_read(run, tmp_path):
    """Links, and names with "..", in what came from elsewhere."""
    for place, message in (("state/manifest.ocdbt", "not a regular file"), ("proof/0.json", "not a regular file")):
        copy = shutil.copytree(run, tmp_path / message.split()[0] / place.replace("/", "-"))
        shutil.rmtree(copy / "2")
        (copy / "4" / place).rename(tmp_path / "secret")
        (copy / "4" / place).symlink_to(tmp_path / "secret")
        values.said = []
        with pytest.raises(NoIntactCheckpoint):
            values(copy)
        assert message in values.said[0] and message in verify.problems(copy / "4")[0]
    copy = shutil.copytree(run, tmp_path / "dots")
    record = files.read_json(copy / "4.files.json")
    (tmp_path / "outside").write_text("x")
    files.write_json(copy / "4.files.json", record | {"../../outside": files.sha256(tmp_path / "outside")})
    values.said = []
    assert values(copy)[0] == 2 and "the file ../../outside is missing" in values.said[0]
    # a proof whose names lead out: they are names of arrays, and no file is looked for under them
    (copy / "4.files.json").unlink()
    said = files.read_json(copy / "4" / "proof" / "0.json")
    name = next(iter(said["arrays"]))
    said["arrays"]["../../../outside"] = said["arrays"].pop(name)
    del said["sha256"]
    files.write_json(copy / "4" / "proof" / "0.json", {**said, "sha256": checksums._sha256(said)})
    assert "../../../outside" in checksums.read(copy / "4").arrays
    assert any("../../../outside" in problem for problem in verify.problems(copy / "4"))
    assert values(copy)[0] == 2 and (tmp_path / "outside").read_text() == "x"
