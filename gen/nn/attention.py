"""softmax(q k^T / sqrt(K) + bias) v for grouped heads, by the best program for the shapes and the machine.

    dense       all scores at once, as XLA compiles jax.nn.dot_product_attention: short rows, one query, any case
    cudnn       the fused kernel behind the same function: NVIDIA GPUs, 16 bits, what `cudnn_supports` finds out
    splash      the Pallas kernel that ships with JAX: TPUs (gen/nn/splash.py)
    blockwise   memory linear in length, anywhere: every long row that no kernel takes (gen/nn/blockwise.py)

    y_BTHK = attend(query_BTHK, key_BTGK, value_BTGK, Rule(causal=True), documents(segment_BT))

Where the mesh cuts rows over `context`, each device has a part of the queries and gathers all keys and values.
"""

import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from gen.nn import attention_mask
from gen.nn.attention_mask import NO_MASK, MaskConfig, MaskInputs
from gen.nn.blockwise import blockwise
from gen.nn.splash import splash, splash_supports

Method = Literal["auto", "dense", "cudnn", "splash", "blockwise"]

SHORT = 1024 * 1024  # scores a head, up to which holding all of them costs less than walking through blocks
MASKED = 4096 * 4096  # scores a row, up to which cuDNN is given what is seen as an array


def dot_product_attention(
    query_BTHK: Float[Array, "B T H K"],
    key_BSGK: Float[Array, "B S G K"],
    value_BSGK: Float[Array, "B S G K"],
    rule: MaskConfig,
    where: MaskInputs = NO_MASK,
    table: Float[Array, "buckets H"] | None = None,
    method: Method = "auto",
) -> Float[Array, "B T H K"]:
    """The values of what each query sees, weighted; `table` holds T5's biases. H is a multiple of G."""
    if _cut_over_context() and where.slot_BT is None and query_BTHK.shape[1] == key_BSGK.shape[1]:
        return _over_context(query_BTHK, key_BSGK, value_BSGK, rule, where, table, method)
    if method == "auto":
        method = choose(_platform(), query_BTHK, key_BSGK, rule, where)
    elif not supported(method, _platform(), query_BTHK, key_BSGK, rule, where):
        shapes = f"queries {query_BTHK.shape}, keys {key_BSGK.shape} of {query_BTHK.dtype}, {rule}, on a {_platform()}"
        raise ValueError(f"model.transformer.attention={method} cannot compute this case ({shapes}); set auto")
    programs = {"dense": dense, "cudnn": cudnn, "splash": splash, "blockwise": blockwise}
    return programs[method](query_BTHK, key_BSGK, value_BSGK, rule, where, table)


def choose(platform: str, query_BTHK: Any, key_BSGK: Any, rule: MaskConfig, where: MaskInputs) -> Method:
    """The program for arrays (or shapes) of queries and keys on a "cpu", "gpu" or "tpu"."""
    if supported("cudnn", platform, query_BTHK, key_BSGK, rule, where):
        return "cudnn"
    if supported("splash", platform, query_BTHK, key_BSGK, rule, where):
        return "splash"
    return "dense" if query_BTHK.shape[1] * key_BSGK.shape[1] <= SHORT else "blockwise"


def supported(
    method: Method, platform: str, query_BTHK: Any, key_BSGK: Any, rule: MaskConfig, where: MaskInputs
) -> bool:
    """Whether a program can take the case on this machine; dense and blockwise take any."""
    if method == "cudnn":
        return platform == "gpu" and cudnn_supports(query_BTHK, key_BSGK, rule, where)
    if method == "splash":
        return platform == "tpu" and splash_supports(query_BTHK, key_BSGK, rule, where)
    return True


@functools.partial(jax.checkpoint, static_argnums=3, prevent_cse=False, policy=jax.checkpoint_policies.dots_saveable)
def dense(query_BTHK, key_BSGK, value_BSGK, rule: MaskConfig, where: MaskInputs = NO_MASK, table=None) -> Array:
    # the backward pass starts from the scores: autodiff would keep two more arrays of queries x keys for every head
    distance_BTS = where.slots(query_BTHK.shape[1])[:, :, None] - jnp.arange(key_BSGK.shape[1])
    seen_BTS = attention_mask.make_attention_mask(rule, where, distance_BTS)
    bias_BHTS = attention_mask.bias(rule, table, distance_BTS, query_BTHK.shape[2])
    mask_B1TS = None if seen_BTS is None else seen_BTS[:, None]
    return jax.nn.dot_product_attention(query_BTHK, key_BSGK, value_BSGK, bias=bias_BHTS, mask=mask_B1TS)


def cudnn(query_BTHK, key_BSGK, value_BSGK, rule: MaskConfig, where: MaskInputs = NO_MASK, table=None) -> Array:
    mask_B1TS = None
    if where.query_BT is not None and where.key_BS is not None:
        mask_B1TS = (where.query_BT[:, :, None] == where.key_BS[:, None, :])[:, None]
    return jax.nn.dot_product_attention(
        query_BTHK,
        key_BSGK,
        value_BSGK,
        mask=mask_B1TS,
        is_causal=rule.causal,
        local_window_size=None if rule.window is None else (rule.window - 1, 0),
        implementation="cudnn",
    )


def cudnn_supports(query_BTHK: Any, key_BSGK: Any, rule: MaskConfig, where: MaskInputs) -> bool:
    """Whether cuDNN takes the case, which it is asked: which heads and dtypes it knows depends on GPU and version.

    Biases and single queries are left to the others, and so are rows in documents where they are long, because cuDNN
    would be given an array of what is seen.
    """
    queries, keys = query_BTHK.shape[1], key_BSGK.shape[1]
    in_order = where.slot_BT is None and queries == keys and queries > 1
    masked = where.query_BT is not None
    if not in_order or rule.relative or (rule.window and not rule.causal) or (masked and queries * keys > MASKED):
        return False
    try:
        jax.eval_shape(lambda q, k: cudnn(q, k, k, rule, where), query_BTHK, key_BSGK)
    except (NotImplementedError, RuntimeError, ValueError):
        return False
    return True


def _platform() -> str:
    """Where the program will run: the devices of the mesh in force, which may be ones that are not here."""
    device = getattr(jax.sharding.get_abstract_mesh(), "abstract_device", None)
    platform = jax.default_backend() if device is None else device.platform
    return "gpu" if platform in ("cuda", "rocm") else platform


def _cut_over_context() -> bool:
    mesh = jax.sharding.get_abstract_mesh()
    return not mesh.empty and mesh.shape.get("context", 1) > 1 and "context" not in mesh.manual_axes


def _over_context(
    query_BTHK, key_BSGK, value_BSGK, rule: MaskConfig, where: MaskInputs, table, method: Method
) -> Array:
    """Each device's queries with everybody's keys; the gradient adds up what the devices say of each key."""
    row = P(None, "context")
    segments = tuple(where[1:])

    def local(query_BTHK, key_BSGK, value_BSGK, segments, table):
        everybody = lambda x: jax.lax.all_gather(x, "context", axis=1, tiled=True)
        own = query_BTHK.shape[1]
        slot_BT = jax.lax.axis_index("context") * own + jnp.arange(own)[None]
        query_BT, key_BS = segments
        here = MaskInputs(slot_BT, query_BT, None if key_BS is None else everybody(key_BS))
        return dot_product_attention(query_BTHK, everybody(key_BSGK), everybody(value_BSGK), rule, here, table, method)

    cut = jax.shard_map(
        local,
        in_specs=(row, row, row, jax.tree.map(lambda _: row, segments), jax.tree.map(lambda _: P(), table)),
        out_specs=row,
        axis_names={"context"},
        check_vma=False,
    )
    return cut(query_BTHK, key_BSGK, value_BSGK, segments, table)
