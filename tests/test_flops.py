import jax
import jax.numpy as jnp
import pytest
from jax._src.cudnn import fused_attention_stablehlo as fused
from jax.sharding import PartitionSpec as P

from gen import flops, spec
from gen import mesh as meshes
from gen.mesh import MeshConfig
from gen.nn.attention import cudnn
from gen.nn.attention_mask import MaskConfig
from gen.nn.conv import large_convolution, plain_convolution
from gen.nn.splash import splash
from gen.nn.transformer import TransformerConfig, transformer, transformer_spec


def array(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def test_a_product_of_matrices_is_two_for_each_multiplication():
    assert flops.count(jnp.matmul, array(3, 4, 5), array(3, 5, 7)) == flops.Work(2 * 3 * 4 * 5 * 7)


def test_what_no_output_needs_does_not_count():
    unused = lambda x: (x @ x @ x, x + 1)[1]
    assert flops.count(unused, array(4, 4)).flops == 0


@pytest.mark.parametrize("remat", ["none", "full"])
@pytest.mark.parametrize("layers", [1, 5])
def test_a_transformer_is_its_formula(layers, remat):
    batch, tokens, width = 2, 6, 16
    cfg = TransformerConfig(width=width, layers=layers, heads=4, remat=remat)
    params = spec.abstract(transformer_spec(cfg))
    x_BTD = array(batch, tokens, width)
    # four projections and two of the MLP, which is four times as wide; scores and their average of values
    projection = 2 * layers * batch * tokens * width**2
    forward = (4 + 2 * 4) * projection + 2 * 2 * layers * batch * tokens**2 * width
    run = lambda params, x_BTD: transformer(params, x_BTD, cfg)
    assert flops.count(run, params, x_BTD).flops == forward
    # every product has two in the backward pass; remat does them again, but for the last of a block, which no
    # gradient reads
    again = {"none": 0, "full": forward - 4 * projection}[remat]
    gradient = jax.grad(lambda params, x_BTD: run(params, x_BTD).sum(), argnums=(0, 1))
    assert flops.count(jax.jit(gradient), params, x_BTD).flops == 3 * forward + again


def test_a_branch_counts_as_the_largest():
    choose = lambda x: jax.lax.cond(x[0, 0] > 0, lambda x: x @ x, lambda x: x @ x @ x, x)
    assert flops.count(choose, array(4, 4)).flops == 2 * 2 * 4**3


def test_a_loop_of_unknown_length_counts_once_and_is_reported():
    body = lambda x: x @ x
    assert flops.count(lambda x: jax.lax.while_loop(lambda x: x[0, 0] < 9, body, x), array(4, 4)) == (2 * 4**3, 1)
    assert flops.count(lambda x: jax.lax.fori_loop(0, 7, lambda _, x: body(x), x), array(4, 4)) == (7 * 2 * 4**3, 0)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_gradients_of_a_convolution_cost_what_it_costs(stride, groups):
    def convolution(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            [(1, 1), (1, 1)],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    x, kernel, dy = array(2, 8, 8, 4), array(3, 3, 4 // groups, 12), array(2, 8 // stride, 8 // stride, 12)
    once = 2 * 2 * (8 // stride) ** 2 * 3 * 3 * (4 // groups) * 12
    assert flops.count(convolution, x, kernel).flops == once
    for argument in (0, 1):
        pull = lambda x, kernel, dy, argument=argument: jax.vjp(convolution, x, kernel)[1](dy)[argument]
        assert flops.count(pull, x, kernel, dy).flops == once


def test_products_for_each_tap_cost_what_the_convolution_costs():
    def pull(convolution):
        return lambda x, kernel, dy: jax.vjp(lambda *a: convolution(*a, 1), x, kernel)[1](dy)

    example = array(2, 8, 8, 32), array(3, 3, 32, 32), array(2, 8, 8, 32)
    assert flops.count(pull(large_convolution), *example) == flops.count(pull(plain_convolution), *example)


def test_what_each_device_does_by_itself_counts_for_all_that_do_it():
    mesh = meshes.make(MeshConfig(data=2, fsdp=2, tensor=2), jax.devices())
    product = lambda x, y: jax.shard_map(jnp.matmul, in_specs=(P("data"), P()), out_specs=P("data"), check_vma=False)(
        x, y
    )
    with jax.set_mesh(mesh):
        # rows are cut over two devices; the other axes do the same again
        assert flops.count(product, array(6, 5), array(5, 7)).flops == 4 * 2 * 6 * 5 * 7
        along = lambda x, y: jax.shard_map(
            jnp.matmul, in_specs=(P("data"), P()), out_specs=P("data"), axis_names={"data"}, check_vma=False
        )(x, y)
        assert flops.count(along, array(6, 5), array(5, 7)).flops == 2 * 6 * 5 * 7


BATCH, TOKENS, HEADS, WIDTH = 8, 256, 4, 64
PRODUCT = 2 * BATCH * HEADS * TOKENS**2 * WIDTH


def of_attention(attend):
    """Products of queries by keys that attention and its gradient count."""
    x = jax.ShapeDtypeStruct((BATCH, TOKENS, HEADS, WIDTH), jnp.bfloat16)
    forward = lambda *qkv: attend(*qkv, MaskConfig(causal=True))
    gradient = jax.grad(lambda *qkv: forward(*qkv).astype(jnp.float32).sum(), argnums=(0, 1, 2))
    return [flops.count(f, x, x, x).flops / PRODUCT for f in (forward, gradient)]


@pytest.mark.parametrize("mesh", [{}, {"fsdp": 4}, {"fsdp": 2, "tensor": 2}])
def test_the_kernel_of_tpus_counts_every_block_on_every_device(mesh):
    with jax.set_mesh(meshes.make(MeshConfig(**mesh), jax.devices())):
        # its gradients of keys and of queries each make the scores and their gradient again: 4 and 3 products; those
        # of rows with themselves (the sums of dO x O) are one of few numbers
        assert of_attention(lambda *a: splash(*a, interpret=True)) == pytest.approx([2, 9], rel=0.01)


def test_the_kernel_of_gpus_counts_though_nobody_sees_inside(monkeypatch):
    monkeypatch.setattr(fused, "check_cudnn_version", lambda: 91_000)
    monkeypatch.setattr(fused, "check_compute_capability", lambda *_: True)
    assert of_attention(cudnn) == [2, 7]
