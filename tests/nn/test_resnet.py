import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen import spec
from gen.nn.conv import conv
from gen.nn.norms import group_norm
from gen.nn.resnet import downsample, resnet, resnet_spec, upsample

GROUPS, EMBEDDING = 2, 6


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def test_downsampling_takes_means_and_upsampling_repeats():
    x = np.arange(2 * 4 * 6 * 3, dtype=np.float32).reshape(2, 4, 6, 3)
    halves = [x[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
    np.testing.assert_allclose(downsample(jnp.asarray(x)), sum(halves) / 4, rtol=1e-6)
    np.testing.assert_array_equal(upsample(jnp.asarray(x)), x.repeat(2, axis=1).repeat(2, axis=2))


@pytest.mark.parametrize(
    ("resample", "scale_shift", "c_out"), [("none", True, 8), ("down", True, 4), ("up", False, 4), ("down", False, 8)]
)
def test_the_block_is_its_equations(resample, scale_shift, c_out):
    specs = resnet_spec(4, c_out, EMBEDDING, scale_shift=scale_shift)
    params = jax.tree.map(lambda x: x + 0.1 * draw(x.size, *x.shape), spec.initialize(specs, jax.random.key(0)))
    x, embedding = draw(1, 2, 4, 6, 4), draw(2, 2, EMBEDDING)
    resampled = {"none": lambda x: x, "down": downsample, "up": upsample}[resample]
    silu = lambda x: x / (1 + jnp.exp(-x))
    h = conv(params["conv1"], resampled(silu(group_norm(params["norm1"], x, GROUPS))))
    time = (silu(embedding) @ params["embedding"]["kernel"] + params["embedding"]["bias"])[:, None, None]
    if scale_shift:
        h = group_norm(params["norm2"], h, GROUPS) * (1 + time[..., :c_out]) + time[..., c_out:]
    else:
        h = group_norm(params["norm2"], h + time, GROUPS)
    skip = resampled(x) if c_out == 4 else conv(params["skip"], resampled(x))
    expected = skip + conv(params["conv2"], silu(h))

    y = resnet(params, x, embedding, groups=GROUPS, scale_shift=scale_shift, resample=resample)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_a_new_block_is_its_skip_connection():
    params = spec.initialize(resnet_spec(4, 4, EMBEDDING, scale_shift=True), jax.random.key(0))
    x = draw(1, 2, 4, 6, 4)
    np.testing.assert_array_equal(resnet(params, x, draw(2, 2, EMBEDDING), groups=GROUPS, scale_shift=True), x)
