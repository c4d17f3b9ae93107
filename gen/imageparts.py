"""Containers of images taken apart: what decides the pixels, the size, and which way is up.

    parts = split(content)          # of a JPEG, PNG or WebP file
    parts.content                   # the file without its metadata, which nothing else has to parse
    parts.size, parts.orientation   # (width, height), and 1 to 8 as in EXIF

Metadata such as colour profiles, texts and thumbnails changes no pixel here, so that a fault in it refuses no image:
chunks are skipped by their lengths, and of EXIF and XMP only the orientation is looked for. A container that stops
making sense is left to the decoder from there on.
"""

import dataclasses
import re
import struct
import zlib
from collections.abc import Iterator

PARTS = 500_000  # segments or chunks of one file
SCANS = 100  # of a progressive JPEG, each of which costs a pass over all pixels
TEXT = 2**20  # bytes of a text that is looked at
PNG = b"\x89PNG\r\n\x1a\n"

_ORIENTATION = 0x0112
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG: SOF0 ... SOF15
_COLOUR = {0xE0, 0xEE}  # JFIF and Adobe, which say how colours are stored
_OTHERS = (
    (re.compile(rb"GIF8[79]a"), "a GIF"),
    (re.compile(rb"....ftyp(heic|heix|hevc|hevx|mif1|msf1|heim|heis)", re.DOTALL), "a HEIC"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "an AVIF"),
    (re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+"), "a TIFF"),
    (re.compile(rb"BM"), "a BMP"),
    (re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "), "a JPEG XL"),
    (re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), "a JPEG 2000"),
    (re.compile(rb"\s*<(\?xml|svg|!doctype|html)", re.IGNORECASE), "text in XML or HTML"),
    (re.compile(rb"%PDF"), "a PDF"),
)


class NotAnImage(ValueError):
    """Content that is no JPEG, PNG or WebP image within the limits."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """An image file without its metadata."""

    form: str  # "JPEG", "PNG" or "WEBP"
    size: tuple[int, int]  # width and height in pixels, as stored
    content: bytes
    orientation: int = 1  # as in EXIF; 1 is upright
    ended: bool = True  # False for a JPEG whose end mark is missing
    single: bool = True  # False for a JPEG whose pixels come in several scans


def split(content: bytes) -> Parts:
    """The parts of a JPEG, PNG or WebP file. Raises NotAnImage, which names what the content is instead."""
    if content.startswith(b"\xff\xd8\xff"):
        return _jpeg(content)
    if content.startswith(PNG):
        return _png(content)
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return _webp(content)
    found = next((name for pattern, name in _OTHERS if pattern.match(content[:64])), None)
    if found is None and not content:
        raise NotAnImage("it is empty")
    raise NotAnImage(f"it is {found}; convert it to one of them" if found else "it begins like none of them")


def png_text(content: bytes, keyword: str) -> str | None:
    """The text of a PNG under `keyword`, of at most TEXT bytes if compressed, or None without one."""
    if not content.startswith(PNG):
        return None
    for name, data in _chunks(content):
        if name in (b"tEXt", b"zTXt", b"iTXt") and data.partition(b"\0")[0] == keyword.encode():
            text = _text(name, data)
            return None if text is None else text.decode("utf-8" if name == b"iTXt" else "latin-1", "replace")
    return None


def _jpeg(content: bytes) -> Parts:
    kept, size, components, orientation, frame = [content[:2]], None, 0, None, 0
    single, at, xmp = True, 2, 1
    for _ in _counted():
        if content[at : at + 1] != b"\xff" or at + 4 > len(content):
            break
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4])
        if marker == 0xFF:  # filling
            at += 1
            continue
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            at += 2
            continue
        if marker == 0xD9 or length < 2:
            break
        segment = content[at + 4 : at + 2 + length]
        if marker in _FRAMES and len(segment) >= 6:
            height, width, components = struct.unpack_from(">HHB", segment, 1)
            size, frame = (width, height), marker
        if marker == 0xE1 and segment.startswith(b"Exif\0") and orientation is None:
            orientation = _exif(segment[6:])
        elif marker == 0xE1 and segment.startswith(b"http://ns.adobe.com/xap/"):
            xmp = _xmp(segment)
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or marker in _COLOUR:
            kept.append(content[at : at + 2 + length])
        at += 2 + length
        if marker == 0xDA:
            single = frame in (0xC0, 0xC1) and segment[:1] == bytes([components])
            break
    kept.append(content[at:])
    if size is None:
        raise NotAnImage("its size is missing or broken")
    ended = _ends(content, at)
    return Parts("JPEG", size, b"".join(kept), orientation or xmp, ended, single)


_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")  # that is no part of the pixels


def _ends(content: bytes, at: int) -> bool:
    """Whether the end mark comes behind the scan at `at`; what comes behind it, as the film of a phone, is not looked
    at. Raises NotAnImage for more than SCANS scans."""
    scans = 1
    for _ in _counted():
        found = _MARKER.search(content, at)
        if not found or found[0] == b"\xff\xd9":
            return found is not None
        at = found.end() + int.from_bytes(content[found.end() : found.end() + 2])
        scans += found[0] == b"\xff\xda"
        if scans > SCANS:
            raise NotAnImage(f"its pixels come in more than {SCANS} scans")
    return False


def _png(content: bytes) -> Parts:
    if content[12:16] != b"IHDR" or len(content) < 33:
        raise NotAnImage("its header is missing or broken")
    width, height = struct.unpack_from(">II", content, 16)
    orientation, profile, xmp = None, None, 1
    kept, at, last = [PNG], len(PNG), b""
    for name, data in _chunks(content):
        end = at + 12 + len(data)
        if not name[0] & 0x20 or (name == b"tRNS" and _whole_tRNS(content, at, data)):
            kept.append(content[at:end])
            last = name
        elif name == b"eXIf" and orientation is None:
            orientation = _exif(data)
        elif name in (b"tEXt", b"zTXt", b"iTXt"):
            keyword = data[:80].partition(b"\0")[0]
            if keyword == b"Raw profile type exif":
                profile = _profile(_text(name, data) or b"")
            elif keyword == b"XML:com.adobe.xmp":
                xmp = _xmp(_text(name, data) or b"")
        at = end
    if last != b"IEND":
        # a chunk of pixels that is cut short is for the decoder to judge
        if at + 8 <= len(content) and not content[at + 4] & 0x20:
            kept.append(content[at:])
        else:
            kept.append(b"\0\0\0\0IEND\xaeB`\x82")
    return Parts("PNG", (width, height), b"".join(kept), orientation or profile or xmp)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The name and data of each whole chunk of a PNG, up to its end."""
    at = len(PNG)
    for _ in _counted():
        data = at + 8
        end = data + int.from_bytes(content[at : at + 4])
        if data > len(content) or end + 4 > len(content):
            return
        name = content[at + 4 : data]
        yield name, content[data:end]
        if name == b"IEND":
            return
        at = end + 4


def _whole_tRNS(content: bytes, at: int, data: bytes) -> bool:
    """Whether transparency can be trusted; libpng as well leaves out what is broken in it."""
    colours = content[25]
    fits = {0: len(data) == 2, 2: len(data) == 6, 3: 0 < len(data) <= 256}.get(colours, False)
    crc = int.from_bytes(content[at + 8 + len(data) : at + 12 + len(data)])
    return fits and zlib.crc32(data, zlib.crc32(b"tRNS")) == crc


def _webp(content: bytes) -> Parts:
    kept, size, orientation, xmp, at = [], None, None, 1, 12
    content = content[: 8 + int.from_bytes(content[4:8], "little")]  # what else is in the file is no part of it
    for _ in _counted():
        name, length = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        data = content[at + 8 : at + 8 + length]
        if len(content) < at + 8:
            break
        if name == b"EXIF":
            orientation = _exif(data.removeprefix(b"Exif\0\0"))
        elif name == b"XMP ":
            xmp = _xmp(data)
        elif name == b"VP8X" and length >= 10:
            size = size or (1 + int.from_bytes(data[4:7], "little"), 1 + int.from_bytes(data[7:10], "little"))
            kept.append(content[at : at + 8] + bytes([data[0] & ~0x2C]) + data[1:] + b"\0" * (length % 2))
        elif name in (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"):
            size = size or _webp_size(name, data)
            kept.append(content[at : at + 8 + length + length % 2])
        at += 8 + length + length % 2
    if size is None:
        raise NotAnImage("its size is missing or broken")
    body = b"WEBP" + b"".join(kept)
    return Parts("WEBP", size, b"RIFF" + struct.pack("<I", len(body)) + body, orientation or xmp)


def _webp_size(name: bytes, data: bytes) -> tuple[int, int] | None:
    if name == b"VP8 " and data[3:6] == b"\x9d\x01\x2a" and len(data) >= 10:
        width, height = struct.unpack_from("<HH", data, 6)
        return width & 0x3FFF, height & 0x3FFF
    if name == b"VP8L" and data[:1] == b"\x2f" and len(data) >= 5:
        bits = int.from_bytes(data[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None


def _exif(tiff: bytes) -> int | None:
    """The orientation in the first directory of EXIF data, whatever its other tags hold, or None without one."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return None
    (first,) = struct.unpack_from(f"{order}I", tiff, 4)
    if first + 2 > len(tiff):
        return None
    (count,) = struct.unpack_from(f"{order}H", tiff, first)
    for at in range(first + 2, min(first + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, _ = struct.unpack_from(f"{order}HHI", tiff, at)
        if tag == _ORIENTATION:
            form = {1: "B", 3: "H", 4: "I"}.get(kind)  # a byte, short or long
            value = struct.unpack_from(f"{order}{form}", tiff, at + 8)[0] if form else 0
            return value if 1 <= value <= 8 else 1
    return None


def _profile(text: bytes) -> int | None:
    """The orientation in EXIF data that is written as hexadecimal text, as ImageMagick does."""
    try:
        data = bytes.fromhex("".join(text.decode("latin-1").split("\n")[3:]))
    except ValueError:
        return None
    return _exif(data.removeprefix(b"Exif\0\0"))


def _xmp(packet: bytes) -> int:
    found = _XMP.search(packet[:TEXT])
    return int(found[1]) if found else 1


def _text(name: bytes, data: bytes) -> bytes | None:
    """The text of a chunk of a PNG, at most TEXT bytes of a compressed one; None for a broken chunk."""
    rest, packed = data.partition(b"\0")[2], name == b"zTXt"
    if packed:
        rest = rest[1:]  # the method
    elif name == b"iTXt":
        packed = rest[:1] == b"\1"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]  # behind language and translated keyword
    if not packed:
        return rest
    try:
        return zlib.decompressobj().decompress(rest, TEXT)
    except zlib.error:
        return None


def _counted() -> Iterator[int]:
    yield from range(PARTS)
    raise NotAnImage(f"it has more than {PARTS:,} parts")
