"""UTF-8 bytes as tokens: nothing to train, nothing unknown.

Tokens 0 to 255 are the bytes; pad, start and end follow.

    Bytes().encode("é")         # [195, 169]
"""

import codecs
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from gen.tokenizers.base import Tokens, check_text


class Bytes:
    """The tokenizer of 256 bytes; `end` is the largest id, as in CLIP, whose text tower finds it by argmax."""

    pad, start, end = 256, 257, 258
    vocab_size = 259
    fim: tuple[int, int, int] | None = None
    fingerprint = hashlib.sha256(b"utf-8 bytes, pad 256, start 257, end 258").hexdigest()

    def encode(self, text: str) -> list[int]:
        return list(check_text(text).encode())

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, tokens: Tokens) -> str:
        """The text; bytes that are not UTF-8, as after a cut within a character, read as U+FFFD."""
        return bytes(int(token) for token in tokens if 0 <= token < 256).decode(errors="replace")

    def decoder(self) -> "BytesDecoder":
        return BytesDecoder()

    def unknown(self, text: str) -> tuple[str, ...]:
        return ()

    def save(self, path: str | Path) -> None:
        Path(path).write_text(json.dumps({"kind": "bytes"}))


class BytesDecoder:
    """UTF-8 byte by byte: an unfinished character waits for the rest of it."""

    _rest = b""

    def push(self, token: int) -> str:
        own = bytes((token,)) if 0 <= token < 256 else b""
        text, read = codecs.utf_8_decode(self._rest + own, "replace", False)
        self._rest = (self._rest + own)[read:]
        return text

    def finish(self) -> str:
        return self._rest.decode(errors="replace")
