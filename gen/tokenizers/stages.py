"""The stages of a decoder of the `tokenizers` library, each of which reads one string at a time.

A stage keeps what a later string may still change. What one string says for itself, the library's own decoder decides.

    runs = ByteRuns()
    [*runs.push("<0xC3>"), *runs.push("<0xA9>"), *runs.push("a")]       # ["é", "a"]
"""

import codecs
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import tokenizers

REPLACEMENT = "\ufffd"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2}|\+[0-9A-Fa-f])>")


@runtime_checkable
class DecoderStage(Protocol):
    """One decoder of a chain. A shallow copy is independent of the original."""

    def push(self, token: str) -> Iterable[str]:
        """The strings that are final with this one."""
        ...

    def finish(self) -> Iterable[str]:
        """The strings that were kept; the stage is not used any more."""
        ...


def library(spec: dict[str, Any]) -> Callable[[list[str]], str]:
    """The library's own decoder of a description, from a list of strings to their text."""
    empty = {"type": "BPE", "vocab": {}, "merges": []}
    content = {"version": "1.0", "added_tokens": [], "model": empty, "decoder": spec}
    return tokenizers.Tokenizer.from_str(json.dumps(content)).decoder.decode


class Same:
    """Passes strings on; of Fuse nothing else is left, as the texts of a chain are joined in any case."""

    def push(self, token: str) -> Iterable[str]:
        return (token,)

    def finish(self) -> Iterable[str]:
        return ()


class EachToken(Same):
    """A decoder that reads each string for itself."""

    def __init__(self, decode: Callable[[list[str]], str]):
        self._decode = decode

    def push(self, token: str) -> Iterable[str]:
        return (self._decode([token]),)


class FirstApart(EachToken):
    """A decoder that reads the first string otherwise than all others."""

    _first = True

    def push(self, token: str) -> Iterable[str]:
        before, self._first = [] if self._first else [""], False
        return (self._decode([*before, token]),)


class LastApart(EachToken):
    """A decoder that reads the last string otherwise than all others."""

    _last: str | None = None

    def push(self, token: str) -> Iterable[str]:
        last, self._last = self._last, token
        return () if last is None else (self._decode([last, ""]),)

    def finish(self) -> Iterable[str]:
        return () if self._last is None else (self._decode([self._last]),)


class Distinct(EachToken):
    """CTC: of equal strings in a row it reads one, and leaves out those that say nothing."""

    _last: str | None = None

    def push(self, token: str) -> Iterable[str]:
        last, self._last = self._last, token
        text = "" if token == last else self._decode([token])
        return (text,) if text else ()


class Spaced(Same):
    """No decoder: strings with spaces between them."""

    _first = True

    def push(self, token: str) -> Iterable[str]:
        before, self._first = "" if self._first else " ", False
        return (before + token,)


class ByteRuns:
    """ByteFallback: a run of bytes is a text if the whole of it is UTF-8, else each byte is U+FFFD."""

    _run = b""

    def push(self, token: str) -> Iterable[str]:
        if match := _BYTE.fullmatch(token):
            self._run += bytes((int(match[1], 16),))
            return ()
        run, self._run = self.finish(), b""
        return (*run, token)

    def finish(self) -> Iterable[str]:
        if not self._run:
            return ()
        try:
            return (self._run.decode(),)
        except UnicodeDecodeError:
            return (REPLACEMENT,) * len(self._run)


class Utf8:
    """ByteLevel: each letter of a string is a byte; an unfinished character waits for the rest of it."""

    _rest = b""

    def push(self, token: str) -> Iterable[str]:
        spelled = [_BYTE_OF.get(letter, -1) for letter in token]
        own = token.encode() if -1 in spelled else bytes(spelled)
        text, read = codecs.utf_8_decode(self._rest + own, "replace", False)
        self._rest = (self._rest + own)[read:]
        return (text,)

    def finish(self) -> Iterable[str]:
        return (self._rest.decode(errors="replace"),)


class StripStart(Same):
    """Strip of one string: up to `most` letters `content` that it begins with are left out."""

    def __init__(self, content: str, most: int):
        self._content, self._most = content, most

    def push(self, token: str) -> Iterable[str]:
        while token and self._most:
            if token[0] != self._content:
                self._most = 0
            else:
                token, self._most = token[1:], self._most - 1
        return (token,)


class Whole(Same):
    """Decoders whose text may change to the end: they read everything then."""

    def __init__(self, specs: Sequence[dict[str, Any]], fused: bool):
        self._decode = library({"type": "Sequence", "decoders": list(specs)})
        self._fused = fused
        self._tokens: tuple[str, ...] = ()

    def push(self, token: str) -> Iterable[str]:
        self._tokens += (token,)
        return ()

    def finish(self) -> Iterable[str]:
        return (self._decode(["".join(self._tokens)] if self._fused else list(self._tokens)),)


def _byte_letters() -> dict[str, int]:
    """The letter of each byte, as in GPT-2's encoder: its own where that can be seen, else one from U+0100 on."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(256 + i): byte for i, byte in enumerate(hidden)}


_BYTE_OF = _byte_letters()
