"""How many bits general compressors need for a byte of text: what a language model's bits per byte stand beside.

    bits_per_byte(held_out, training)       # {"gzip -9": 2.2, "xz -9e": 1.7, "xz -9e, training text known": 1.3}

What the model is told of the training text by its weights, xz is told by compressing that text first: only what the
held-out text adds counts. xz looks back 64 MiB, and of a longer training text it is told the end.
"""

import gzip
import lzma
from collections.abc import Iterable

WINDOW = 64 * 2**20  # bytes that xz -9 looks back


def bits_per_byte(held_out: Iterable[str], training: Iterable[str]) -> dict[str, float]:
    """Bits that each compressor spends on a byte of all held-out texts, one after the other.

    Raises ValueError when there is no held-out text.
    """
    text, known = _joined(held_out), _joined(training)
    if not text:
        raise ValueError("there is no held-out text to compress")
    known = known[-max(0, WINDOW - len(text)) :] if len(text) < WINDOW else b""
    sizes = {
        "gzip -9": len(gzip.compress(text, 9)),
        "xz -9e": _xz(text),
        "xz -9e, training text known": _xz(known + text) - _xz(known),
    }
    return {name: 8 * size / len(text) for name, size in sizes.items()}


def _joined(texts: Iterable[str]) -> bytes:
    return b"".join(text.encode(errors="surrogatepass") for text in texts)


def _xz(content: bytes) -> int:
    return len(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))
