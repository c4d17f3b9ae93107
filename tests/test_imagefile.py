"""Image files: pixels decide, of metadata the orientation alone; limits come first; equal faults read equal."""

import io
import itertools
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from gen import imagefile
from gen.imagefile import NotAnImage

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (9, 14, 3), np.uint8)


def encoded(image, form: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, form, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes, flip: int = 0) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data) ^ flip)


def png(width, height, depth, colours, rows: bytes, *more: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0))
    body = (header, *more, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def tiff(*tags: tuple[int, int, int, bytes], order: str = ">") -> bytes:
    """EXIF data of tags (number, type, count, four bytes)."""
    entries = b"".join(struct.pack(f"{order}HHI", *tag[:3]) + tag[3] for tag in tags)
    start = b"MM\0*\0\0\0\x08" if order == ">" else b"II*\0\x08\0\0\0"
    return start + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


TURNED = (0x0112, 3, 1, b"\0\6\0\0")  # to be shown turned right by a quarter


def jpeg_with(exif: bytes, form: str = "JPEG", **options) -> bytes:
    return encoded(NOISE, form, exif=b"Exif\0\0" + exif, **options)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_shown_upright(form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(NOISE, form, exif=exif.tobytes(), **({"lossless": True} if form == "WEBP" else {}))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))
    np.testing.assert_array_equal(imagefile.decode(content), expected)


@pytest.mark.parametrize(
    "odd",
    [
        (0x011A, 2, 4, b"abc\0"),  # a resolution that is text
        (0x0100, 11, 1, b"\0\0\x80?"),  # a width that is a float
        (0x0111, 9, 1, b"\xff\xff\xff\xff"),  # an offset that is negative
        (0x010F, 99, 7, b"\1\2\3\4"),  # a type that does not exist
        (0x8769, 4, 1, b"\xff\xff\xff\xff"),  # a directory beyond the end
    ],
)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_the_orientation_is_found_among_odd_tags(form, odd):
    upright, turned = (imagefile.decode(jpeg_with(tiff(*tags), form)) for tags in ([odd], [odd, TURNED]))
    np.testing.assert_array_equal(turned, np.rot90(upright, 3))


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"garbage!",
        b"MM\0*\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\xff\xff",
        tiff((0x0112, 3, 1, b"\0\x63\0\0")),
        tiff((0x0112, 2, 1, b"6\0\0\0")),
    ],
    ids=["none", "garbage", "far", "endless", "orientation 99", "a text"],
)
def test_exif_without_an_orientation_turns_nothing(exif):
    np.testing.assert_array_equal(imagefile.decode(jpeg_with(exif)), imagefile.decode(encoded(NOISE, "JPEG")))


def test_orientations_in_xmp_and_in_raw_profiles():
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'
    segment = b"\xff\xe1" + struct.pack(">H", len(xmp) + 2) + xmp
    content = encoded(NOISE, "JPEG")
    expected = np.rot90(imagefile.decode(content), 3)
    np.testing.assert_array_equal(imagefile.decode(content[:2] + segment + content[2:]), expected)
    plain = encoded(NOISE)
    profile = f"\nexif\n{8}\n{(b'Exif' + bytes(2) + tiff(TURNED)).hex()}\n".encode()
    for more in (
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile)),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
    ):
        np.testing.assert_array_equal(imagefile.decode(plain[:33] + more + plain[33:]), np.rot90(NOISE, 3))


@pytest.mark.parametrize(
    "more",
    [
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2_000_000))),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(2_000_000))),
        chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(bytes(2_000_000))),
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(2_000_000))),
        chunk(b"eXIf", b"garbage"),
        chunk(b"tEXt", b"Comment\0a bird", flip=1),
        chunk(b"gAMA", b"\0"),
        chunk(b"tRNS", b"\0\0\0", flip=1),
        chunk(b"acTL", b"\xff"),
        chunk(b"bird", b"unknown", flip=1),
    ],
    ids=["zTXt", "raw profile", "iTXt", "iCCP", "eXIf", "crc", "gAMA", "tRNS", "acTL", "unknown"],
)
def test_metadata_refuses_no_png(more):
    content = encoded(NOISE)
    np.testing.assert_array_equal(imagefile.decode(content[:33] + more + content[33:]), NOISE)
    np.testing.assert_array_equal(imagefile.decode(content[:-12] + more + content[-12:]), NOISE)


@pytest.mark.parametrize(
    "segment",
    [b"\xff\xe0\0\5JFI", b"\xff\xe2\0\x0bMPF\0\xff\xff\xff\xff\xff", b"\xff\xed\0\x0cPhotoshop ", b"\xff\xfe\0\4hi"],
    ids=["JFIF", "MPF", "Photoshop", "comment"],
)
def test_metadata_refuses_no_jpeg(segment):
    content = encoded(NOISE, "JPEG")
    expected = imagefile.decode(content)
    np.testing.assert_array_equal(imagefile.decode(content[:20] + segment + content[20:]), expected)
    assert len(Image.open(io.BytesIO(encoded(NOISE, "MPO"))).getbands()) == 3
    np.testing.assert_array_equal(imagefile.decode(encoded(NOISE, "MPO")), expected)


def over_white(content: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(content)).convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB"))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_every_mode_is_as_pillow_shows_it(mode, monkeypatch):
    monkeypatch.setattr(imagefile, "STRIP", 30)  # several strips
    content = encoded(Image.fromarray(NOISE).convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    np.testing.assert_array_equal(imagefile.decode(content), over_white(content))


@pytest.mark.parametrize("transparency", [3, bytes([0, 50, 100, 150, 255, 255, 0, 9])])
def test_transparent_colours_of_a_palette(transparency):
    content = encoded(Image.fromarray(NOISE).quantize(8), transparency=transparency)
    np.testing.assert_array_equal(imagefile.decode(content), over_white(content))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png(8, 1, 1, 0, b"\0\x0f", chunk(b"tRNS", b"\0\1")), [0, 0, 0, 0, 255, 255, 255, 255]),
        (png(4, 1, 2, 0, b"\0\x1b", chunk(b"tRNS", b"\0\1")), [0, 255, 170, 255]),
        (png(2, 1, 4, 0, b"\0\x1b", chunk(b"tRNS", b"\0\1")), [255, 187]),
        (png(2, 1, 16, 0, b"\0\x12\x34\x56\x78", chunk(b"tRNS", b"\x12\x34")), [255, 0x56]),
        (png(2, 1, 16, 2, b"\0" + b"\x12\x34" * 3 + b"\x56\x78" * 3, chunk(b"tRNS", b"\x12\x34" * 3)), [255, 0x56]),
        (png(2, 1, 8, 0, b"\0\x12\x34", chunk(b"tRNS", b"\x12")), [0x12, 0x34]),
    ],
    ids=["1 bit", "2 bits", "4 bits", "16 bits", "16 bits RGB", "broken"],
)
def test_the_transparent_colour_of_a_png_has_the_scale_of_its_pixels(content, expected):
    assert imagefile.decode(content)[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    "options",
    [{"quality": 90}, {"quality": 95, "subsampling": 0}, {"restart_marker_blocks": 2}, {"progressive": True}],
    ids=["plain", "fine", "restarts", "progressive"],
)
def test_a_jpeg_without_its_end_is_whole_or_refused(options):
    content = encoded(RNG.integers(0, 256, (24, 24, 3), np.uint8), "JPEG", **options)
    expected, whole = imagefile.decode(content), 0
    for size in [*range(len(content) - 60, len(content)), *range(200, len(content), 37)]:
        try:
            np.testing.assert_array_equal(imagefile.decode(content[:size]), expected)
            whole += 1
        except NotAnImage as refusal:
            assert "readable" in str(refusal)
    assert whole == (0 if "progressive" in options else 2)  # without FF D9, and without D9


def test_a_png_or_webp_cut_behind_its_pixels_is_whole():
    np.testing.assert_array_equal(imagefile.decode(encoded(NOISE)[:-12]), NOISE)
    content = encoded(NOISE, "WEBP", lossless=True, exif=tiff(TURNED))
    np.testing.assert_array_equal(imagefile.decode(content[:-3]), np.rot90(NOISE, 3))
    with pytest.raises(NotAnImage, match="truncated"):
        imagefile.decode(encoded(NOISE)[:-40])


def header(form: str, width: int, height: int) -> bytes:
    """A file that claims a size and holds no pixel."""
    if form == "PNG":
        return png(width, height, 8, 2, b"")
    if form == "JPEG":
        return b"\xff\xd8\xff\xc0\0\x11\x08" + struct.pack(">HH", height, width) + b"\3\1\x11\0\2\x11\1\3\x11\1"
    data = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + data


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("size", [(8200, 8200), (13_000, 13_000), (60_000, 60_000)])
def test_oversized_is_refused_before_a_decoder_sees_it(form, size, monkeypatch):
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("a decoder was asked"))
    for meet in (imagefile.decode, imagefile.check_header):
        with warnings.catch_warnings(), pytest.raises(NotAnImage, match=r"is more than 67,108,864 pixels"):
            warnings.simplefilter("error")
            meet(header(form, *size))


@pytest.mark.parametrize("size", [(8160, 6144), (9248, 6936)])
def test_pictures_of_telephones_are_within_the_limit(size):
    imagefile.check_header(header("PNG", *size))


def test_a_bomb_takes_bounded_memory():
    """16 megapixels of transparent zeros, 60 kB packed: as RGBA, as the result, and little more."""
    code = """if True:
        import resource, sys
        sys.path.insert(0, "tests")
        from test_imagefile import png
        from gen import imagefile
        content = png(4000, 4000, 8, 6, bytes(4000 * (4 * 4000 + 1)))
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 12 * 16_000_000,) * 2)
        assert imagefile.decode(content).min() == 255
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_jpeg_of_thousands_of_scans_is_refused():
    content = encoded(NOISE, "JPEG", progressive=True)
    at = content.rindex(b"\xff\xda")
    with pytest.raises(NotAnImage, match="more than 100 scans"):
        imagefile.decode(content[:at] + content[at:-2] * 200 + b"\xff\xd9")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"not an image", "it begins like none of them"),
        (encoded(NOISE, "GIF"), "it is a GIF; convert it to one of them"),
        (encoded(NOISE, "TIFF"), "it is a TIFF; convert it to one of them"),
        (encoded(NOISE, "BMP"), "it is a BMP; convert it to one of them"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "it is a HEIC; convert it to one of them"),
        (b"\0\0\0\x1cftypavif", "it is an AVIF; convert it to one of them"),
        (b"<html><body>404</body></html>", "it is text in XML or HTML; convert it to one of them"),
        (b"\xff\xd8\xff\xe0", "its size is missing or broken"),
        (b"RIFF\0\0\0\0WEBP", "its size is missing or broken"),
        (b"\x89PNG\r\n\x1a\n", "its header is missing or broken"),
    ],
)
def test_what_cannot_be_read_is_named_in_equal_words(content, reason):
    for meet in (imagefile.decode, imagefile.check_header):
        with pytest.raises(NotAnImage) as raised:
            meet(content)
        assert str(raised.value) == f"not a readable JPEG, PNG or WebP image: {reason}"


def test_mutated_files_end_in_pixels_or_in_one_sentence():
    exif = b"Exif\0\0" + tiff(TURNED)
    files = [
        encoded(NOISE, "JPEG", exif=exif),
        encoded(NOISE, "JPEG", progressive=True),
        encoded(Image.fromarray(NOISE).quantize(8), transparency=2),
        encoded(NOISE, "WEBP", exif=exif),
        encoded(NOISE, "WEBP", lossless=True),
    ]
    rng = np.random.default_rng(1)
    for number, content in itertools.product(range(60), files):
        mutated = bytearray(content)
        for at in rng.integers(0, len(content), 1 + number % 4):
            mutated[at] = rng.integers(256)
        try:
            assert imagefile.decode(bytes(mutated)).shape[2] == 3
        except NotAnImage as refusal:
            assert " at 0x" not in str(refusal) and "\n" not in str(refusal) and len(str(refusal)) < 250


def test_files_are_read_within_bounds(tmp_path):
    with pytest.raises(ValueError, match="is not a regular file"):
        imagefile.read(tmp_path)
    (tmp_path / "a.png").write_bytes(encoded(NOISE))
    np.testing.assert_array_equal(imagefile.decode(imagefile.read(tmp_path / "a.png")), NOISE)


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_what_comes_behind_a_picture_is_not_looked_at(form):
    """As the film of a phone's moving photo: ten million bytes, among them marks of a hundred scans."""
    film = b"\xff\xda\0\2" * 200 + bytes(10**7)
    content = encoded(NOISE, form)
    np.testing.assert_array_equal(imagefile.decode(content + film), imagefile.decode(content))
