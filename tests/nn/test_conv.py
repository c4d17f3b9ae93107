import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from gen.nn.conv import WIDE, conv, large_convolution, plain_convolution


def draw(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def reference(kernel, bias, x, stride):
    """Convolution by loops over output positions, in float64, with a border of zeros as torch's padding = size // 2."""
    size = len(kernel)
    padded = np.pad(x, [(0, 0), (size // 2, size // 2), (size // 2, size // 2), (0, 0)])
    rows, columns = ((n + 2 * (size // 2) - size) // stride + 1 for n in x.shape[1:3])
    y = np.zeros((len(x), rows, columns, kernel.shape[-1]))
    for row in range(rows):
        for column in range(columns):
            window = padded[:, row * stride : row * stride + size, column * stride : column * stride + size]
            y[:, row, column] = np.einsum("bpqi,pqio->bo", window, kernel)
    return y + bias


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("rows", [6, 5])
def test_convolution_is_the_sum_over_its_window(size, stride, rows):
    kernel, bias, x = draw(0, size, size, 3, 4), draw(1, 4), draw(2, 2, rows, 6, 3)
    y = conv({"kernel": jnp.asarray(kernel), "bias": jnp.asarray(bias)}, jnp.asarray(x), stride)
    np.testing.assert_allclose(y, reference(kernel, bias, x, stride), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_are_those_of_the_loops(stride):
    kernel, bias, x = draw(0, 3, 3, 2, 3), draw(1, 3), draw(2, 1, 4, 6, 2)
    weights = draw(3, *reference(kernel, bias, x, stride).shape)
    value = lambda kernel, bias, x: jnp.sum(conv({"kernel": kernel, "bias": bias}, x, stride) * weights)
    gradients = jax.grad(value, argnums=(0, 1, 2))(*map(jnp.asarray, (kernel, bias, x)))
    # the loops are linear in each argument, so that the gradient is their value at each unit array
    exact = lambda *arguments: np.sum(reference(*arguments, stride) * weights)
    for i, (gradient, argument) in enumerate(zip(gradients, (kernel, bias, x), strict=True)):
        units = np.eye(argument.size).reshape(-1, *argument.shape)
        base = [kernel, bias, x]
        along = lambda array, i=i, base=base: exact(*base[:i], array, *base[i + 1 :])
        expected = np.array([along(unit) for unit in units]) - along(np.zeros(argument.shape))
        np.testing.assert_allclose(gradient, expected.reshape(argument.shape), rtol=1e-4, atol=1e-4)


def large_example(size, stride, rows=6):
    """Kernel, picture and cotangent with enough channels for a kernel gradient of matrix products, float32."""
    kernel, x = draw(0, size, size, WIDE, 2 * WIDE), draw(1, 4, rows, 8, WIDE)
    dy = draw(2, 4, -(-rows // stride), 8 // stride, 2 * WIDE)
    return [jnp.asarray(a, jnp.float32) for a in (kernel, x, dy)]


def assert_near(got, expected):
    """Equal to 1e-5 of the largest element."""
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("size, stride, rows", [(1, 1, 6), (1, 2, 5), (3, 1, 6), (3, 2, 6), (3, 2, 5)])
def test_large_gradients_are_those_of_the_plain_convolution(size, stride, rows):
    kernel, x, dy = large_example(size, stride, rows)
    pull = lambda convolution: jax.jit(lambda x, kernel: jax.vjp(lambda *a: convolution(*a, stride), x, kernel)[1](dy))
    for got, expected in zip(pull(large_convolution)(x, kernel), pull(plain_convolution)(x, kernel), strict=True):
        assert_near(got, expected)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_large_convolution_differentiates_twice(stride):
    kernel, x, dy = large_example(3, stride)

    def penalty(convolution, x, kernel):
        """The squared gradients of a function that is not linear, as a gradient penalty has them."""
        value = lambda x, kernel: jnp.sum(jnp.sin(convolution(x, kernel / 20, stride)) * dy)
        by_x, by_kernel = jax.grad(value, argnums=(0, 1))(x, kernel)
        return jnp.sum(by_x**2) + jnp.sum(by_kernel**2)

    twice = jax.jit(jax.grad(penalty, argnums=(1, 2)), static_argnums=0)
    for got, expected in zip(twice(large_convolution, x, kernel), twice(plain_convolution, x, kernel), strict=True):
        assert_near(got, expected)


@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_are_the_same_on_a_mesh(stride, monkeypatch):
    monkeypatch.setattr("gen.nn.conv.LARGE", 8 * 8)
    kernel, x, dy = large_example(3, stride, rows=8)
    params = {"kernel": kernel, "bias": jnp.zeros(2 * WIDE)}
    pull = jax.jit(lambda params, x: jax.vjp(lambda *a: conv(*a, stride), params, x)[1](dy))
    expected = pull(params, x)
    mesh = jax.make_mesh((2, 2, 2), ("data", "fsdp", "tensor"), axis_types=(AxisType.Auto,) * 3)
    place = lambda array, *axes: jax.device_put(array, NamedSharding(mesh, P(*axes)))
    with jax.set_mesh(mesh):
        spread = {"kernel": place(kernel, None, None, "fsdp", "tensor"), "bias": place(params["bias"], "tensor")}
        got = pull(spread, place(x, ("data", "fsdp"), None, None, "tensor"))
    jax.tree.map(assert_near, got, expected)


@pytest.mark.parametrize("platform, products", [("cpu", 9), ("cuda", 0), ("tpu", 0)])
def test_only_cpus_take_matrix_products(platform, products):
    kernel, x, dy = large_example(3, 1)
    gradient = jax.jit(lambda x, kernel: jax.vjp(lambda k: large_convolution(x, k, 1), kernel)[1](dy))
    program = gradient.trace(x, kernel).lower(lowering_platforms=(platform,)).as_text()
    assert program.count("stablehlo.dot_general") == products
