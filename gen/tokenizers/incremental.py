"""Decoders of the `tokenizers` library, token by token: only text that no later token changes.

The decoder of a tokenizer.json is a chain of stages from a list of strings to another: Replace, ByteFallback, Fuse,
Strip and so on. Each stage here reads one string at a time and keeps what a later string may still change: a run of
byte tokens, which reads as U+FFFD as a whole where any of it is broken; the end of a word that only a further word
turns into a space; an unfinished UTF-8 character. What one string says for itself, the library's own decoder decides.

    chain = Chain(json.loads(tokenizer.to_str())["decoder"])
    text = chain.push("<0xE3>") + chain.push("<0x81>") + chain.push("<0x82>") + chain.push("a") + chain.finish()

A chain whose text may change to the very end, as of a regular expression over all of it, says nothing before `finish`.
"""

import codecs
import copy
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import tokenizers

from gen.messages import short

REPLACEMENT = "\ufffd"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2}|\+[0-9A-Fa-f])>")


@runtime_checkable
class Stage(Protocol):
    """One decoder of a chain. A shallow copy is independent of the original."""

    def push(self, token: str) -> Iterable[str]:
        """The strings that are final with this one."""
        ...

    def finish(self) -> Iterable[str]:
        """The strings that were kept; the stage is not used any more."""
        ...


class Chain:
    """The decoder with the description `spec`, as it stands in a tokenizer.json. A copy is independent."""

    def __init__(self, spec: dict[str, Any] | None):
        self._stages: list[Stage] = stages(spec)

    def __copy__(self) -> "Chain":
        other = object.__new__(Chain)
        other._stages = [copy.copy(stage) for stage in self._stages]
        return other

    def push(self, token: str) -> str:
        """The text that is final with this token and was not before."""
        return "".join(_through(self._stages, [token]))

    def finish(self) -> str:
        """The text that is kept, as it reads if no token follows; the chain stays as it is."""
        stages = copy.copy(self)._stages
        return "".join(text for i, stage in enumerate(stages) for text in _through(stages[i + 1 :], stage.finish()))


def _through(stages: Sequence[Stage], tokens: Iterable[str]) -> Iterable[str]:
    for stage in stages:
        tokens = [out for token in tokens for out in stage.push(token)]
    return tokens


def stages(spec: dict[str, Any] | None) -> list[Stage]:
    """Raises ValueError for a kind of decoder that is not known."""
    if spec is None:
        return [Spaced()]
    found: list[Stage] = []
    rest, fused = _flat(spec), False  # fused: all that a stage reads are parts of one string
    while rest:
        first, *after = rest
        stage = (_of_text if fused else _of_tokens)(first)
        if stage is None:
            return [*found, Whole(rest, fused)]
        found.append(stage)
        fused = fused or first["type"] in ("Fuse", "ByteLevel")
        rest = after
    return found


def _flat(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """A sequence of decoders, and of sequences, as one list."""
    return [one for part in spec["decoders"] for one in _flat(part)] if spec["type"] == "Sequence" else [spec]


def _of_tokens(spec: dict[str, Any]) -> Stage | None:
    match spec["type"]:
        case "Fuse":
            return Same()
        case "ByteFallback":
            return ByteRuns()
        case "ByteLevel":
            return Utf8()
        case "Replace" | "Strip":
            return Each(library(spec))
        case "WordPiece" | "Metaspace":
            return FirstApart(library(spec))
        case "BPEDecoder":
            return LastApart(library(spec))
        case "CTC":
            return Distinct(library(spec))
    raise ValueError(f"a decoder of type {short(spec['type'])} is not known to gen")


def _of_text(spec: dict[str, Any]) -> Stage | None:
    """The stage for parts of one string, if what it makes of them does not depend on where the string was cut."""
    match spec["type"]:
        case "Fuse":
            return Same()
        case "Strip" if spec["stop"] == 0:
            return StripStart(spec["content"], spec["start"])
        case "Replace" if len(spec["pattern"].get("String", "")) == 1:
            return Each(library(spec))
        case "Metaspace":
            return Each(library(spec))
        case "WordPiece" if not spec["cleanup"]:
            return Same()
    return None


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


class Each(Same):
    """A decoder that reads each string for itself."""

    def __init__(self, decode: Callable[[list[str]], str]):
        self._decode = decode

    def push(self, token: str) -> Iterable[str]:
        return (self._decode([token]),)


class FirstApart(Each):
    """A decoder that reads the first string otherwise than all others."""

    _first = True

    def push(self, token: str) -> Iterable[str]:
        before, self._first = [] if self._first else [""], False
        return (self._decode([*before, token]),)


class LastApart(Each):
    """A decoder that reads the last string otherwise than all others."""

    _last: str | None = None

    def push(self, token: str) -> Iterable[str]:
        last, self._last = self._last, token
        return () if last is None else (self._decode([last, ""]),)

    def finish(self) -> Iterable[str]:
        return () if self._last is None else (self._decode([self._last]),)


class Distinct(Each):
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
