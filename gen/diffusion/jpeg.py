"""What JPEG compression does to an image, as a pure function: the loss, without the file.

RGB becomes Y'CbCr, each 8 x 8 block goes through a discrete cosine transform, its coefficients are rounded to multiples
of a quantisation table that quality scales, and all is undone (ITU-T T.81, annexes A and K; colours as in JFIF).
Chroma keeps its resolution (4:4:4). Products ask for full precision: on GPUs and TPUs the default would round about as
coarsely as a good quality quantises.

Shapes: B batch, Y X rows and columns, C = 3 channels, I J rows and columns of blocks, U V frequencies in a block.

    image_BYXC = compress(image_BYXC, quality_B)                # images in [-1, 1], quality 1 (worst) to 100
"""

import jax.numpy as jnp
import numpy as np
from einops import rearrange
from jaxtyping import Array, Float, Int

_BLOCK = 8

# Annex K, tables K.1 and K.2.
_LUMA = [
    [16, 11, 10, 16, 24, 40, 51, 61],
    [12, 12, 14, 19, 26, 58, 60, 55],
    [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62],
    [18, 22, 37, 56, 68, 109, 103, 77],
    [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101],
    [72, 92, 95, 98, 112, 100, 103, 99],
]
_CHROMA = [
    [17, 18, 24, 47, 99, 99, 99, 99],
    [18, 21, 26, 66, 99, 99, 99, 99],
    [24, 26, 56, 99, 99, 99, 99, 99],
    [47, 66, 99, 99, 99, 99, 99, 99],
    *[[99] * 8 for _ in range(4)],
]
_TABLES_UVC = np.stack([_LUMA, _CHROMA, _CHROMA], axis=-1)

# Rows give luma, blue difference and red difference from R, G and B.
_RGB_TO_YCBCR = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.299 / 1.772, -0.587 / 1.772, 0.5],
        [0.5, -0.587 / 1.402, -0.114 / 1.402],
    ]
)


def _cosines() -> Float[np.ndarray, "U 8"]:
    """The orthonormal type-II transform of 8 samples."""
    frequency, position = np.mgrid[:_BLOCK, :_BLOCK]
    basis = np.cos(np.pi * frequency * (2 * position + 1) / (2 * _BLOCK)) * np.sqrt(2 / _BLOCK)
    basis[0] /= np.sqrt(2)
    return basis


def dct(image_BYXC: Float[Array, "B Y X C"]) -> Float[Array, "B I J U V C"]:
    """The cosine coefficients of every 8 x 8 block; Y and X must be multiples of 8."""
    blocks = rearrange(image_BYXC, "b (i y) (j x) c -> b i j y x c", y=_BLOCK, x=_BLOCK)
    return jnp.einsum("bijyxc,uy,vx->bijuvc", blocks, _cosines(), _cosines(), precision="highest")


def inverse_dct(coefficients_BIJUVC: Float[Array, "B I J U V C"]) -> Float[Array, "B Y X C"]:
    blocks = jnp.einsum("bijuvc,uy,vx->bijyxc", coefficients_BIJUVC, _cosines(), _cosines(), precision="highest")
    return rearrange(blocks, "b i j y x c -> b (i y) (j x) c")


def quantisation(quality_B: Int[Array, "B"]) -> Float[Array, "B 1 1 U V C"]:
    """The tables at each quality, as libjpeg scales them: 50 leaves them as they are."""
    percent_B = jnp.where(quality_B < 50, 5000 // quality_B, 200 - 2 * quality_B)
    tables = (_TABLES_UVC * percent_B[:, None, None, None] + 50) // 100
    return jnp.clip(tables, 1, 255).astype(jnp.float32)[:, None, None]


def compress(image_BYXC: Float[Array, "B Y X 3"], quality_B: Int[Array, "B"]) -> Float[Array, "B Y X 3"]:
    """RGB images in [-1, 1] as they come back from a JPEG file of the given quality, from 1 to 100."""
    rows, columns = image_BYXC.shape[1:3]
    edges = [(0, 0), (0, -rows % _BLOCK), (0, -columns % _BLOCK), (0, 0)]
    pixels = 127.5 * image_BYXC - 0.5  # 0 to 255, less the 128 that JPEG subtracts
    ycbcr = jnp.round(jnp.matmul(jnp.pad(pixels, edges, mode="edge"), _RGB_TO_YCBCR.T, precision="highest"))
    step = quantisation(quality_B)
    ycbcr = inverse_dct(jnp.round(dct(ycbcr) / step) * step)
    rgb = jnp.matmul(ycbcr[:, :rows, :columns], np.linalg.inv(_RGB_TO_YCBCR).T, precision="highest")
    return jnp.clip(jnp.round(rgb + 128), 0, 255) / 127.5 - 1
