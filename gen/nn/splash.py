"""Attention on TPUs by the Pallas kernel that ships with JAX, "splash attention": blocks that nobody sees are skipped.

The kernel is one device's; rows and heads that a mesh cuts are handed to it device by device with `shard_map`.
"""

from types import ModuleType
from typing import Any

import jax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

from gen import mesh as meshes
from gen.nn.attention_mask import NO_MASK, MaskConfig, MaskInputs

LANES = 128  # rows are cut into blocks of a multiple of this


def splash(
    query_BTHK,
    key_BSGK,
    value_BSGK,
    rule: MaskConfig,
    where: MaskInputs = NO_MASK,
    table=None,
    *,
    interpret: bool = False,
) -> Array:
    """`interpret` runs the kernel without a TPU, slowly."""
    segments = None if where.query_BT is None else (where.query_BT, where.key_BS)

    def local(query_BTHK, key_BSGK, value_BSGK, segments):
        heads_first = lambda x: x.swapaxes(1, 2)
        kernel = _kernel(query_BTHK, key_BSGK, rule, interpret)

        def row(q_HTK, k_GSK, v_GSK, segments):
            ids = None if segments is None else _kernels().SegmentIds(*segments)
            return kernel(q_HTK, k_GSK, v_GSK, ids)

        scaled_BHTK = heads_first(query_BTHK * query_BTHK.shape[-1] ** -0.5)
        return heads_first(jax.vmap(row)(scaled_BHTK, heads_first(key_BSGK), heads_first(value_BSGK), segments))

    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or all(n == 1 for n in mesh.shape.values()):
        return local(query_BTHK, key_BSGK, value_BSGK, segments)
    shape = {axis: n for axis, n in mesh.shape.items() if axis not in mesh.manual_axes}
    place = lambda x, head: meshes.partition(("batch", None, head, None), x.shape, shape, "attention")
    heads = place(query_BTHK, "heads")
    groups = place(key_BSGK, "heads" if key_BSGK.shape[2] > 1 else None)
    rows = P(*heads[:1])
    cut = jax.shard_map(
        local,
        in_specs=(heads, groups, groups, jax.tree.map(lambda _: rows, segments)),
        out_specs=heads,
        axis_names=set(shape),
        check_vma=False,
    )
    return cut(query_BTHK, key_BSGK, value_BSGK, segments)


def splash_supports(query_BTHK: Any, key_BSGK: Any, rule: MaskConfig, where: MaskInputs) -> bool:
    """Whole rows of a multiple of 128 tokens, without biases; a window only behind the query."""
    queries, keys = query_BTHK.shape[1], key_BSGK.shape[1]
    in_order = where.slot_BT is None and queries == keys
    return in_order and queries % LANES == 0 and rule.relative is None and (rule.causal or rule.window is None)


def _kernels() -> ModuleType:
    """Pallas takes half a second to import, which only TPUs wait for."""
    from jax.experimental.pallas.ops.tpu import splash_attention

    return splash_attention


def _kernel(query_BTHK: Array, key_BSGK: Array, rule: MaskConfig, interpret: bool):
    shape = query_BTHK.shape[1], key_BSGK.shape[1]
    splash_attention = _kernels()
    mask = splash_attention.FullMask(shape)
    if rule.window is not None:
        mask = splash_attention.LocalMask(shape, (rule.window - 1, 0), 0)
    elif rule.causal:
        mask = splash_attention.CausalMask(shape)
    heads = splash_attention.MultiHeadMask([mask] * query_BTHK.shape[2])
    return splash_attention.make_splash_mha(heads, head_shards=1, q_seq_shards=1, interpret=interpret)
