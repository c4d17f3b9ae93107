"""SentencePiece models (Kudo and Richardson 2018, arXiv 1808.06226), as Llama 2, Gemma and T5 have them.

    tokenizer = load("gemma/tokenizer.model")
    tokenizer.decode(tokenizer.encode("a seven"))                       # "a seven"

A model is a table in a protocol buffer: reading it executes nothing.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import sentencepiece

from gen.tokenizers.base import Tokens
from gen.tokenizers.subword import FIM

SPACE = "\u2581"  # how a piece writes it


class Pieces:
    """A SentencePiece model. What its normaliser changes (runs of spaces, often) a round trip does not bring back."""

    def __init__(self, model: bytes, where: str):
        """Raises ValueError, naming the file `where`, when `model` is none or has no start or end token."""
        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
            self.vocab_size = self._processor.GetPieceSize()
        except RuntimeError as error:
            raise ValueError(f"{where} is not a SentencePiece model: {error}") from error
        if not self.vocab_size:
            raise ValueError(f"{where} is not a SentencePiece model: it has no pieces")
        self.start, self.end = self._processor.bos_id(), self._processor.eos_id()
        if min(self.start, self.end) < 0:
            raise ValueError(f"{where} has no start or no end token; use a model trained with bos_id and eos_id")
        pad = self._processor.pad_id()
        self.pad = self.end if pad < 0 else pad  # what follows the first end is padding anyway
        self.fim = next((ids for names in FIM if (ids := self._ids(names))), None)
        self._marks = {self.start, self.end, self.pad, *(self.fim or ())}
        self.fingerprint = hashlib.sha256(model).hexdigest()

    def encode(self, text: str) -> list[int]:
        return self._processor.EncodeAsIds(text)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, tokens: Tokens) -> str:
        return self._processor.DecodeIds([int(token) for token in tokens if int(token) not in self._marks])

    def unknown(self, text: str) -> tuple[str, ...]:
        unknown = self._processor.unk_id()
        pieces = (
            piece for piece in self._processor.EncodeAsPieces(text) if self._processor.PieceToId(piece) == unknown
        )
        return tuple(dict.fromkeys(piece.strip(SPACE) for piece in pieces))

    def name(self, token: int) -> str:
        """What the model calls an id."""
        return self._processor.IdToPiece(token)

    def save(self, path: str | Path) -> None:
        """Writes {"kind": "sentencepiece", "model": the file in base64}."""
        content = {"kind": "sentencepiece", "model": base64.b64encode(self._model).decode()}
        Path(path).write_text(json.dumps(content))

    def _ids(self, names: tuple[str, str, str]) -> tuple[int, int, int] | None:
        prefix, suffix, middle = (self._processor.PieceToId(name) for name in names)
        known = self._processor.unk_id() not in (prefix, suffix, middle)
        return (prefix, suffix, middle) if known else None
