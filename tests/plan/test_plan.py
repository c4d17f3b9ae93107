"""Plans: what a program needs, checked against what is known of it otherwise."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from gen import mesh as meshes
from gen import spec
from gen.mesh import MeshConfig
from gen.plan import plan as plans
from gen.plan import report, topology
from gen.plan import runs as programs
from gen.runs import config_file, train
from gen.runs import recipe as runs_to_be
from gen.runs.remat import once, with_remat

LM = [
    ("model.vocab", "256"),
    ("model.context", "64"),
    ("model.transformer.width", "64"),
    ("model.transformer.heads", "4"),
    ("model.transformer.layers", "4"),
    ("model.transformer.attention", "dense"),
    ("train.batch_size", "8"),
    ("task.prompt", "8"),
]
EIGHT = topology.parse("cpu:8")


def planned(*overrides, file="configs/lm/gpt3.py:125m", machine=EIGHT, which="train"):
    data = train.with_overrides(config_file.load_config(file), [*LM, *overrides])
    (found,) = programs.plan(data, machine, which).values()
    return found


@pytest.fixture(scope="module")
def sharded():
    return planned(("mesh.data", "1"), ("mesh.fsdp", "4"), ("mesh.tensor", "2")).plans["train"]


def test_each_group_has_the_bytes_that_its_shapes_and_shards_say(sharded):
    data = train.with_overrides(config_file.load_config("configs/lm/gpt3.py:125m"), LM)
    (one,) = runs_to_be.described(data).values()
    specs = one.task().players["model"].specs
    mesh = meshes.make(MeshConfig(data=1, fsdp=4, tensor=2), jax.devices())
    placed = meshes.shardings(specs, mesh)
    held = sum(
        4 * jnp.zeros(leaf.sharding.shard_shape(leaf.shape)).size
        for leaf in jax.tree.leaves(
            jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), spec.abstract(specs), placed)
        )
    )
    assert sharded.bytes["parameters"] == held
    # Adam's two moments, and counts
    assert 2 * held <= sharded.bytes["optimizer"] <= 2 * held + 64
    # of a batch what the program reads: with attention across documents neither segments nor positions
    read = [x for name, x in one.task().batch(8).items() if name not in ("segments", "positions")]
    assert sharded.bytes["batch"] == sum(x.size * x.dtype.itemsize for x in read) // 4
    assert sharded.total == sum(sharded.bytes.values())
    assert sharded.bytes["temporaries"] > 0


def test_flops_are_those_of_the_closed_form_and_remat_s_are_more(sharded):
    width, layers, vocab, tokens, context = 64, 4, 256, 8 * 64, 64
    blocks = 2 * tokens * layers * 12 * width**2 + layers * 2 * 2 * tokens * context * width
    assert sharded.model_flops == pytest.approx(3 * (blocks + 2 * tokens * vocab * width), rel=0.01)
    # every block again, without the products back to the stream, whose results nobody reads
    assert 0.6 * blocks < sharded.hardware_flops - sharded.model_flops < blocks


def test_a_cut_model_is_gathered_and_its_gradients_are_added_up(sharded):
    assert {"all-gather", "all-reduce"} <= sharded.collectives.keys()
    assert sharded.fits is None and sharded.seconds is None


@pytest.fixture
def small_chip(monkeypatch):
    """A machine of two devices with a megabyte each, of known speeds."""
    monkeypatch.setitem(plans.chips.CHIPS, "tiny chip", plans.chips.Chip(1e9, 2**20, 1e8, 1e7))
    return topology.Machine("tiny", "cpu", "tiny chip", 2)


def test_what_does_not_fit_says_so_and_the_longest_roof_is_the_time(small_chip):
    mesh = meshes.make(MeshConfig(data=2), jax.devices()[:2])
    whole = lambda shape: jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, PartitionSpec()))
    program = jax.jit(lambda x, w: x @ w)
    with jax.set_mesh(mesh):
        arguments = (whole((256, 256)), whole((256, 256)))
        small = plans.of(program, arguments, {"x": arguments[0], "w": arguments[1]}, small_chip)
        arguments = (whole((256, 1024)), whole((1024, 1024)))
        large = plans.of(program, arguments, {"x": arguments[0], "w": arguments[1]}, small_chip)
    assert small.bytes["x"] == small.bytes["w"] == 256 * 256 * 4
    assert (small.fits, large.fits) == (True, False)
    assert large.roofs["compute"] == pytest.approx(2 * 256 * 1024 * 1024 / 2 / 1e9)
    assert large.seconds == max(large.roofs.values()) and large.mfu == pytest.approx(
        large.roofs["compute"] / large.seconds
    )
    assert report.verdict({"": programs.Planned(None, mesh, {"train": small})}) == 0
    assert report.verdict({"": programs.Planned(None, mesh, {"train": small, "sample": large})}) == 1


def test_what_a_program_does_not_read_is_not_held(small_chip):
    mesh = meshes.make(MeshConfig(data=2), jax.devices()[:2])
    whole = lambda n: jax.ShapeDtypeStruct((n, n), jnp.float32, sharding=NamedSharding(mesh, PartitionSpec()))
    arguments = whole(64), whole(4096)
    with jax.set_mesh(mesh):
        one = plans.of(jax.jit(lambda x, _: x @ x), arguments, {"x": arguments[0], "w": arguments[1]}, small_chip)
    assert (one.bytes["x"], one.bytes["w"], one.fits) == (64 * 64 * 4, 0, True)


@pytest.mark.parametrize(
    ("message", "needs"),
    [
        ("RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 120.50G of 95.74G hbm.", int(120.5 * 2**30)),
        (
            "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory required for HLO"
            " temporaries (21.50G) exceeds available HBM (15.75G). HLO module: jit__lambda.",
            int(21.5 * 2**30),
        ),
        ("RESOURCE_EXHAUSTED: XLA:TPU compile permanent error.", None),
    ],
)
def test_a_compiler_that_refuses_is_understood(message, needs):
    refused = plans._too_large(message, topology.parse("v5p:2x2x1"))
    assert (refused.needs, refused.fits) == (needs, False)


def test_another_fault_of_the_compiler_is_not_about_memory():
    assert plans._too_large("INTERNAL: a bug", EIGHT) is None


def test_a_run_to_be_stands_for_one_that_is_there():
    data = {**config_file.load_config("configs/chat/sft.py"), "upstream": {"base": "configs/lm/gpt2.py:small"}}
    (one,) = runs_to_be.described(data).values()
    assert one.cfg.model.transformer.layers == 12 and one.models["base"].vocab == 50257


def test_every_remat_of_a_model_is_taken_away():
    data = config_file.load_config("configs/clip/openai.py:b32")
    (one,) = runs_to_be.described(data).values()
    kept = with_remat(one.cfg.model, "none")
    assert "remat='full'" in str(one.cfg.model) and "remat='full'" not in str(kept)
    assert with_remat(kept, "full") == one.cfg.model
    assert once(one.cfg).model == with_remat(kept, "none", attention="dense")
