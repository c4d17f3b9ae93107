"""Decoders of the `tokenizers` library, token by token: only text that no later token changes.

The decoder of a tokenizer.json is a chain of stages from a list of strings to another: Replace, ByteFallback, Fuse,
Strip and so on. Each stage here reads one string at a time and keeps what a later string may still change: a run of
byte tokens, which reads as U+FFFD as a whole where any of it is broken; the end of a word that only a further word
turns into a space; an unfinished UTF-8 character (stages.py).

    chain = Chain(json.loads(tokenizer.to_str())["decoder"])
    text = chain.push("<0xE3>") + chain.push("<0x81>") + chain.push("<0x82>") + chain.push("a") + chain.finish()

A chain whose text may change to the very end, as of a regular expression over all of it, says nothing before `finish`.
"""

import copy
from collections.abc import Iterable, Sequence
from typing import Any

from gen.messages import short
from gen.tokenizers.stages import (
    ByteRuns,
    DecoderStage,
    Distinct,
    EachToken,
    FirstApart,
    LastApart,
    Same,
    Spaced,
    StripStart,
    Utf8,
    Whole,
    library,
)


class Chain:
    """The decoder with the description `spec`, as it stands in a tokenizer.json. A copy is independent."""

    def __init__(self, spec: dict[str, Any] | None):
        self._stages: list[DecoderStage] = stages(spec)

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


def _through(stages: Sequence[DecoderStage], tokens: Iterable[str]) -> Iterable[str]:
    for stage in stages:
        tokens = [out for token in tokens for out in stage.push(token)]
    return tokens


def stages(spec: dict[str, Any] | None) -> list[DecoderStage]:
    """Raises ValueError for a kind of decoder that is not known."""
    if spec is None:
        return [Spaced()]
    found: list[DecoderStage] = []
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


def _of_tokens(spec: dict[str, Any]) -> DecoderStage | None:
    match spec["type"]:
        case "Fuse":
            return Same()
        case "ByteFallback":
            return ByteRuns()
        case "ByteLevel":
            return Utf8()
        case "Replace" | "Strip":
            return EachToken(library(spec))
        case "WordPiece" | "Metaspace":
            return FirstApart(library(spec))
        case "BPEDecoder":
            return LastApart(library(spec))
        case "CTC":
            return Distinct(library(spec))
    raise ValueError(f"a decoder of type {short(spec['type'])} is not known to gen")


def _of_text(spec: dict[str, Any]) -> DecoderStage | None:
    """The stage for parts of one string, if what it makes of them does not depend on where the string was cut."""
    match spec["type"]:
        case "Fuse":
            return Same()
        case "Strip" if spec["stop"] == 0:
            return StripStart(spec["content"], spec["start"])
        case "Replace" if len(spec["pattern"].get("String", "")) == 1:
            return EachToken(library(spec))
        case "Metaspace":
            return EachToken(library(spec))
        case "WordPiece" if not spec["cleanup"]:
            return Same()
    return None
