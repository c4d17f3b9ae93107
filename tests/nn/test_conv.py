import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen.nn.conv import conv


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
