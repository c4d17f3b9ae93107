import numpy as np
import pytest

from launch import sheet


@pytest.mark.parametrize("size", [16, 200])
def test_every_picture_is_there_with_all_of_its_text_below(size):
    """A grid of 2 x 2 for three pictures; only the first has a text, of three lines."""
    image_BYXC = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8)
    pixels_VUC = np.asarray(sheet.draw(image_BYXC, ["seven " * (size // 5), "", ""]))
    factor = -(-sheet.SMALLEST // size)
    side = factor * size
    height, width = (np.array(pixels_VUC.shape[:2]) - sheet.GAP) // 2  # of a cell
    for i, image_YXC in enumerate(image_BYXC):
        y, x = sheet.GAP + i // 2 * height, sheet.GAP + i % 2 * width
        np.testing.assert_array_equal(pixels_VUC[y : y + side : factor, x : x + side : factor], image_YXC)
        text_VUC = pixels_VUC[y + side : y + height, x : x + side]
        assert (text_VUC.min() < 100) == (i == 0)
    assert width == side + sheet.GAP
    lowest_line = pixels_VUC[sheet.GAP + height - 2 * sheet.GAP - sheet.TEXT : height, : sheet.GAP + side]
    assert lowest_line.min() < 100  # the text ends just above the next row
    assert (pixels_VUC[sheet.GAP + height :, sheet.GAP + width :] == 255).all()  # no fourth picture


def test_a_long_word_is_broken_rather_than_cut():
    short, long = (np.asarray(sheet.draw(np.zeros((1, 64, 64, 3), np.uint8), ["m" * n])) for n in (2, 200))
    assert long.shape[0] > short.shape[0] + 5 * sheet.TEXT and long.shape[1] == short.shape[1]
