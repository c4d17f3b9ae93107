"""Programs compiled by libtpu for TPUs that are not here."""

import importlib.util

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from gen import mesh as meshes
from gen.mesh import MeshConfig
from gen.plan import plan as plans
from gen.plan import topology

P = PartitionSpec
WHOLE = P()
pytestmark = pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is for x86-64 Linux")


def planned(name, function, *arguments, out=WHOLE, **mesh):
    """The plan of a function of float32 arrays given as (shape, PartitionSpec); `out` is where its result lies."""
    machine = topology.parse(name)
    machine.prepare()
    over = meshes.make(MeshConfig(**{"data": 1, **mesh}), machine.devices())
    abstract = [jax.ShapeDtypeStruct(s, jnp.float32, sharding=NamedSharding(over, p)) for s, p in arguments]
    with jax.set_mesh(over):
        program = jax.jit(function, out_shardings=NamedSharding(over, out))
        return plans.of(program, abstract, {"x": abstract[0], "w": abstract[1:]}, machine)


def test_a_sum_over_chips_is_read_off_the_program_of_a_tpu():
    one = planned(
        "v5e:2x2", lambda x, w: x @ w, ((1024, 4096), P(None, "tensor")), ((4096, 512), P("tensor")), data=1, tensor=4
    )
    assert (one.devices, one.fits) == (4, True)
    assert (one.bytes["x"], one.bytes["w"]) == (1024 * 1024 * 4, 1024 * 512 * 4)
    assert one.hardware_flops == 2 * 1024 * 4096 * 512
    assert one.roofs["compute"] == pytest.approx(one.hardware_flops / 4 / 197e12)
    # all-reduced, or scattered and gathered: either way each chip sends 3/4 of the result twice
    sent = sum(c.sent for c in one.collectives.values())
    assert sent in (1024 * 512 * 4 * 3 // 2, 1024 * 512 * 2 * 3 // 2)
    assert one.seconds == max(one.roofs.values())


def test_what_libtpu_refuses_is_too_large_by_as_much_as_it_says():
    side = 40_960  # 6.25 GiB each, two arguments and a result on a chip of 16
    one = planned("v5e:1x1", lambda x, w: jnp.tanh(x @ w) @ x, ((side, side), P()), ((side, side), P()))
    assert isinstance(one, plans.OutOfMemory) and one.fits is False
    assert one.needs > 16 * 2**30 and "TPU v5e has" in one.reason


def test_what_fast_memory_holds_is_no_traffic():
    small = planned("v5e:1x1", lambda x, w: jnp.tanh(jnp.tanh(x @ w) @ w) @ w, ((256, 256), P()), ((256, 256), P()))
    # three products in a row: arguments in, result out, and what is between them may stay on the chip
    assert small.memory_bytes <= 8 * 256 * 256 * 4


def test_a_gather_beside_other_work_is_counted_once():
    """libtpu writes it into the fusions that begin, carry and end it."""
    layers, width = 8, 2048

    def loss(x, w):
        return jnp.mean(jax.lax.scan(lambda h, w: (jnp.tanh(h @ w), None), x, w)[0] ** 2)

    gradient = jax.grad(loss, argnums=1)
    cut = P(None, "fsdp")
    one = planned("v5e:4x4", gradient, ((1024, width), P("fsdp")), ((layers, width, width), cut), out=cut, fsdp=16)
    weights = layers * width * width
    # forward and backward, in 16 or 32 bits
    assert one.collectives["all-gather"].bytes in (2 * 2 * weights, 2 * 4 * weights)
    assert one.collectives["all-gather"].count == 2 * layers
