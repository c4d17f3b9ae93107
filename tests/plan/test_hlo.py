"""Compiled programs read back: what they hold, how often each part runs, what it moves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from gen import mesh as meshes
from gen.mesh import MeshConfig
from gen.plan import collectives, hlo, traffic

P = PartitionSpec
F32 = 4


@pytest.fixture(scope="module")
def mesh():
    return meshes.make(MeshConfig(data=2, fsdp=2, tensor=2), jax.devices())


def compiled(mesh, function, *arguments, out=None):
    """The module of a function of arrays given as (shape, PartitionSpec)."""
    abstract = [jax.ShapeDtypeStruct(s, jnp.float32, sharding=NamedSharding(mesh, p)) for s, p in arguments]
    where = None if out is None else NamedSharding(mesh, out)
    return hlo.parse(jax.jit(function, out_shardings=where).lower(*abstract).compile().as_text())


def test_a_result_is_read_with_its_layout():
    found = hlo.arrays("(f32[4,256]{1,0:T(4,128)S(1)}, bf16[2,3]{1,0}, pred[7], s32[], token[], s4[3], f8e4m3fn[5]{0})")
    assert [one.bytes for one in found] == [4096, 12, 7, 4, 0, 2, 5]
    assert [one.fast for one in found] == [True] + [False] * 6


@pytest.mark.parametrize(
    ("groups", "members"),
    [
        ("replica_groups=[4,2]<=[4,2]T(1,0), dimensions={2}", 2),
        ("replica_groups={{0,2,4},{1,3,5}}, to_apply=%add", 3),
        ("replica_groups=mesh['data'=2,'fsdp'=4,'context'=1,'tensor'=8] {'fsdp','tensor'}, x", 32),
        ("replica_groups={}, to_apply=%add", 64),
    ],
)
def test_groups_are_counted_in_every_notation(groups, members):
    text = (
        f"HloModule m\n\nENTRY %main (p: f32[8]) -> f32[8] {{\n  ROOT %r = f32[8]{{0}} all-reduce(%p), {groups}\n}}\n"
    )
    module = hlo.parse(text)
    assert collectives.group_size(module.computations["main"].root, devices=64) == members


def test_a_sum_over_devices_is_an_all_reduce_of_its_result(mesh):
    module = compiled(mesh, lambda x, w: x @ w, ((16, 64), P(None, "tensor")), ((64, 32), P("tensor")), out=P())
    moved = traffic.of_module(module, devices=8)
    assert moved.collectives == {"all-reduce": traffic.Collective(1, 16 * 32 * F32, 16 * 32 * F32)}


def test_gathered_weights_are_an_all_gather_of_the_whole(mesh):
    module = compiled(mesh, lambda w: w * 2, ((64, 32), P(("data", "fsdp"))), out=P())
    moved = traffic.of_module(module, devices=8)
    assert moved.collectives == {"all-gather": traffic.Collective(1, 64 * 32 * F32, 64 * 32 * F32 * 3 // 4)}


def test_what_a_scan_does_counts_as_often_as_it_runs(mesh):
    def layers(x, w):
        return jax.lax.scan(lambda h, w: (jnp.tanh(h @ w), None), x, w)[0]

    cut = traffic.of_module(
        compiled(mesh, layers, ((16, 64), P()), ((7, 64, 64), P(None, "tensor")), out=P()), devices=8
    )
    assert cut.collectives["all-reduce"].count == 7  # each layer's products are sums over `tensor`
    alone = traffic.of_module(compiled(mesh, layers, ((16, 64), P()), ((7, 64, 64), P())), devices=8)
    assert alone.collectives == {}
    least = 7 * (2 * 16 * 64 + 64 * 64) * F32  # every layer reads its own weights, and not those of all
    assert least <= alone.memory < 3 * least < 7 * 7 * 64 * 64 * F32


def test_a_loop_that_ends_by_itself_is_counted_once_and_told(mesh):
    def halve(x):
        return jax.lax.while_loop(lambda h: jnp.abs(h).max() > 1, lambda h: h / 2, x)

    assert traffic.of_module(compiled(mesh, halve, ((16, 64), P())), devices=8).loops == 1
    fixed = lambda x: jax.lax.fori_loop(0, 5, lambda _, h: h / 2, x)
    assert traffic.of_module(compiled(mesh, fixed, ((16, 64), P())), devices=8).loops == 0


def test_an_element_by_element_function_reads_and_writes_once(mesh):
    module = compiled(mesh, lambda x, y: jnp.tanh(x * y + 1), ((512, 64), P()), ((512, 64), P()))
    assert traffic.of_module(module, devices=8).memory == 3 * 512 * 64 * F32


def test_a_ring_passes_on_all_parts_but_its_own():
    of = {kind: collectives.share(kind, 8) for kind in collectives.KINDS}
    assert (of["all-gather"], of["all-reduce"], of["reduce-scatter"]) == (7 / 8, 7 / 4, 7)
    assert np.isclose(of["all-to-all"], 7 / 8) and of["collective-permute"] == 1


def test_what_stands_over_several_lines_ends_nothing():
    """As the metadata of Pallas kernels, whose lines may begin with a brace."""
    text = """HloModule m

%body (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %p = (s32[], f32[8]{0}) parameter(0)
  %i = s32[] get-tuple-element(%p), index=0
  %x = f32[8]{0} get-tuple-element(%p), index=1
  %kernel = f32[8]{0} custom-call(%x), custom_call_target="tpu_custom_call", frontend_attributes={kernel_metadata={
"xprof_metadata":"{\\"block_q\\": 128}"
}}, metadata={op_name="attention"}
  %r = f32[8]{0} all-reduce(%kernel), replica_groups={{0,1,2,3}}, to_apply=%add
  ROOT %t = (s32[], f32[8]{0}) tuple(%i, %r)
}

%condition (q: (s32[], f32[8])) -> pred[] {
  %q = (s32[], f32[8]{0}) parameter(0)
  %j = s32[] get-tuple-element(%q), index=0
  %n = s32[] constant(5)
  ROOT %less = pred[] compare(%j, %n), direction=LT
}, execution_thread="main"

ENTRY %main (a: (s32[], f32[8])) -> (s32[], f32[8]) {
  %a = (s32[], f32[8]{0}) parameter(0)
  ROOT %loop = (s32[], f32[8]{0}) while(%a), condition=%condition, body=%body
}
"""
    moved = traffic.of_module(hlo.parse(text), devices=4)
    assert moved.collectives == {"all-reduce": traffic.Collective(5, 5 * 32, 5 * 48)}
    assert 'op_name="attention"' in hlo.parse(text).computations["body"].instructions["kernel"].rest


def moved_by(body: str, devices: int = 4) -> traffic.Traffic:
    """The traffic of a program of one computation, of arrays in memory named %p, f32[250] and f32[2]."""
    start = "  %p = f32[250]{0} parameter(0)\n  %q = f32[2]{0} parameter(1)\n"
    return traffic.of_module(hlo.parse(f"HloModule m\n\nENTRY %main () -> f32[1] {{\n{start}{body}\n}}\n"), devices)


@pytest.mark.parametrize("order", [("f32[250]{0}", "f32[2]{0}"), ("f32[2]{0}", "f32[250]{0}")])
def test_an_all_reduce_of_several_arrays_counts_them_all(order):
    found = moved_by(
        f"  %s = ({', '.join(order)}) all-reduce-start(%p, %q), channel_id=1, replica_groups={{{{0,1,2,3}}}}\n"
        f"  ROOT %d = ({', '.join(order)}) all-reduce-done(%s)"
    )
    assert found.collectives == {"all-reduce": traffic.Collective(1, 252 * F32, 252 * F32 * 3 // 2)}
    assert found.memory == 2 * 252 * F32


def test_an_all_gather_that_has_begun_counts_its_results_and_not_its_operands():
    both = "(f32[250]{0}, f32[2]{0}), (f32[1000]{0}, f32[8]{0})"
    found = moved_by(
        f"  %s = ({both}) all-gather-start(%p, %q), channel_id=1, replica_groups={{{{0,1,2,3}}}}\n"
        "  ROOT %d = (f32[1000]{0}, f32[8]{0}) all-gather-done(%s)"
    )
    assert found.collectives == {"all-gather": traffic.Collective(1, 1008 * F32, 1008 * F32 * 3 // 4)}
    assert found.memory == (252 + 1008) * F32


def test_of_an_array_that_is_sliced_beforehand_the_slice_is_read():
    """As a TPU fetches the weights of the next layer."""
    found = moved_by(
        "  %s = ((f32[250]{0}), f32[10]{0:S(1)}, s32[]{:S(2)}) slice-start(%p), slice={[0:10]}\n"
        "  ROOT %d = f32[10]{0:S(1)} slice-done(%s)"
    )
    assert found.memory == 10 * F32
