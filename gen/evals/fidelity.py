"""How near a picture is to the true one: peak signal-to-noise ratio, 10 log10(peak^2 / mean squared error)."""

import numpy as np
from jaxtyping import Float

PEAK = 2.0  # pictures span [-1, 1]


def psnr(x_BYXC: Float[np.ndarray, "B Y X C"], true_BYXC: Float[np.ndarray, "B Y X C"]) -> Float[np.ndarray, "B"]:
    """Decibels, one figure a picture; infinite for equal ones."""
    error_B = np.square(np.asarray(x_BYXC, np.float64) - true_BYXC).mean((1, 2, 3))
    with np.errstate(divide="ignore"):
        return 10 * np.log10(PEAK**2 / error_B)
