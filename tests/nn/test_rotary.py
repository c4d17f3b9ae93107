import jax.numpy as jnp
import numpy as np

from gen.nn.relative import slopes
from gen.nn.rotary import Llama3Scaling, Rotary, frequencies, rotate


def test_pairs_turn_by_position_times_their_frequency():
    """As complex numbers, the halves of a head being real and imaginary parts."""
    draw = np.random.default_rng(0)
    x_BTHK = draw.normal(size=(2, 5, 3, 8)).astype(np.float32)
    position_BT = np.array([[0, 1, 2, 3, 4], [0, 1, 0, 1, 700]])
    y_BTHK = np.asarray(rotate(jnp.asarray(x_BTHK), jnp.asarray(position_BT), Rotary(theta=100.0)))
    turn = np.exp(1j * position_BT[..., None, None] * 100.0 ** (-np.arange(4) / 4))
    expected = (x_BTHK[..., :4] + 1j * x_BTHK[..., 4:]) * turn
    np.testing.assert_allclose(y_BTHK[..., :4], expected.real, atol=2e-4)
    np.testing.assert_allclose(y_BTHK[..., 4:], expected.imag, atol=2e-4)


def test_scores_depend_on_distances_alone():
    draw = np.random.default_rng(1)
    query, key = (jnp.asarray(draw.normal(size=(1, 1, 1, 16)), jnp.float32) for _ in range(2))
    at = lambda x, place: rotate(x, jnp.array([[place]]), Rotary())
    score = lambda i, j: float((at(query, i) * at(key, j)).sum())
    np.testing.assert_allclose(score(7, 3), score(107, 103), rtol=1e-4)
    assert abs(score(7, 3) - score(7, 4)) > 1e-3


def test_llama_3_stretches_only_long_wavelengths():
    """Wavelengths below context / high stay, those beyond context / low grow by the factor, in between they blend."""
    plain, scaling = np.asarray(frequencies(128, Rotary(500_000.0))), Llama3Scaling()
    scaled = np.asarray(frequencies(128, Rotary(500_000.0, scaling)))
    wavelength = 2 * np.pi / plain
    short, long = wavelength < 8192 / 4, wavelength > 8192
    np.testing.assert_array_equal(scaled[short], plain[short])
    np.testing.assert_allclose(scaled[long], plain[long] / 8, rtol=1e-6)
    smooth = (8192 / wavelength - 1) / (4 - 1)
    between = ~short & ~long
    expected = (1 - smooth) * plain / 8 + smooth * plain
    np.testing.assert_allclose(scaled[between], expected[between], rtol=1e-5)
    assert between.sum() > 3


def test_alibi_slopes_are_those_of_the_paper():
    np.testing.assert_allclose(slopes(8), 0.5 ** np.arange(1, 9))
    np.testing.assert_allclose(slopes(16)[:3], 0.5 ** np.array([0.5, 1, 1.5]))
    # twelve heads: those of eight, then every other of sixteen
    np.testing.assert_allclose(slopes(12), [*0.5 ** np.arange(1, 9), *(0.5 ** np.array([0.5, 1.5, 2.5, 3.5]))])
