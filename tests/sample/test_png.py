"""Pictures as files: rounding, grids and the record that a picture carries."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gen.sample import png
from gen.tasks.image_batch import pixels


def test_floats_of_the_device_come_back_as_the_bytes_they_were():
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, -1)
    np.testing.assert_array_equal(png.to_uint8(np.asarray(pixels(jnp.asarray(every), 16))), every)


def test_what_lies_outside_is_clipped():
    x = np.array([-3, -1, 0, 1, 3], np.float32)[:, None, None] * np.ones(3, np.float32)
    assert png.to_uint8(x)[:, 0, 0].tolist() == [0, 0, 128, 255, 255]


def test_a_grid_places_pictures_row_by_row_on_white():
    shade = np.array([-1, 0, 0.5], np.float32)
    shown = png.grid(np.ones((3, 64, 64, 3), np.float32) * shade[:, None, None, None], columns=2, gap=2)
    assert shown.shape == (2 * 66 + 2, 2 * 66 + 2, 3)
    assert (shown[2:66, 2:66] == 0).all() and (shown[2:66, 68:132] == 128).all() and (shown[68:132, 2:66] == 191).all()
    assert (shown[68:, 68:] == 255).all() and (shown[66:68] == 255).all() and (shown[:, 66:68] == 255).all()


def test_a_small_picture_is_shown_enlarged():
    x = np.random.default_rng(0).uniform(-1, 1, (1, 8, 8, 3)).astype(np.float32)
    shown = png.grid(x, columns=1, gap=0)
    assert shown.shape == (64, 64, 3)
    np.testing.assert_array_equal(shown[4::8, 4::8], png.to_uint8(x[0]))


def test_a_picture_carries_its_record(tmp_path):
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 2, 3)
    png.write(tmp_path / "new" / "0.png", x, {"prompt": "a snowman \u2603"})
    pixels, record = png.read(tmp_path / "new" / "0.png")
    assert record == {"prompt": "a snowman \u2603"}
    np.testing.assert_array_equal(pixels, png.to_uint8(x))


def test_a_picture_without_a_record_is_refused(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "plain.png")
    (tmp_path / "text.png").write_text("no picture")
    info = PngInfo()
    info.add_text(png.RECORD, "[" * 200_000, zip=True)
    Image.new("RGB", (2, 2)).save(tmp_path / "deep.png", pnginfo=info)
    png.write(tmp_path / "cut.png", np.zeros((64, 64, 3), np.float32), {})
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:80])
    for name, message in (
        ("plain.png", "plain.png carries no record"),
        ("deep.png", "deep.png: its JSON is nested deeper than 64; gen did not write it"),
        ("text.png", "text.png is no PNG that can be read"),
        ("cut.png", "cut.png is no PNG that can be read"),
        ("none.png", "there is no file"),
    ):
        with pytest.raises(ValueError, match=message):
            png.read(tmp_path / name)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pictures_that_are_not_finite_are_refused(tmp_path, value):
    x = np.zeros((2, 2, 3), np.float32)
    x[1, 1, 0] = value
    with pytest.raises(ValueError, match="1 of 12 values of the pictures are NaN or infinite"):
        png.write(tmp_path / "s.png", x, {})
    assert not (tmp_path / "s.png").exists()


def test_a_picture_with_more_pixels_than_the_limit_is_refused_in_a_sentence(tmp_path):
    """Pillow only warns of 13,000 x 13,000 pixels, and would decode them."""
    png.write(tmp_path / "a.png", np.zeros((2, 2, 3), np.float32), {})
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[16:24] = (13_000).to_bytes(4) * 2
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.png is no PNG that can be read: .*13000 x 13000 is more than"):
        png.read(tmp_path / "a.png")


def test_a_comparison_is_one_row_for_each_name(tmp_path):
    rows = {"drawn": np.full((2, 64, 64, 3), -1, np.float32), "real": np.full((2, 64, 64, 3), 1, np.float32)}
    png.write_pixels(tmp_path / "s.png", png.comparison(rows), {"step": 7})
    assert png.read(tmp_path / "s.png")[1] == {"step": 7}
    with Image.open(tmp_path / "s.png") as image:
        shown = np.asarray(image)
    assert shown.shape == (2 * 68, 134, 3) and (shown[2:66, 2:66] == 0).all() and (shown[70:134, 2:66] == 255).all()
