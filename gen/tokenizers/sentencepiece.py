"""SentencePiece models (Kudo and Richardson 2018, arXiv 1808.06226), as Llama 2, Gemma and T5 have them.

    tokenizer = load("gemma/tokenizer.model")
    tokenizer.decode(tokenizer.encode("a seven"))                       # "a seven"

A model is a table in a protocol buffer: reading it executes nothing.
"""

import base64
import codecs
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import sentencepiece

from gen.messages import short
from gen.tokenizers import sentencepiece_file
from gen.tokenizers.base import Decoder, Tokens, check_text
from gen.tokenizers.library import REASON, errors
from gen.tokenizers.long_text import stretches
from gen.tokenizers.special_tokens import FIM, is_mark

SPACE = "\u2581"  # how a piece writes it
REPLACEMENT = "\ufffd"


class SentencePiece:
    """A SentencePiece model. What its normaliser changes (runs of spaces, often) a round trip does not bring back.

    A piece that the user of the trainer defined is found in texts, unless its name is that of a mark.
    """

    def __init__(self, model: bytes, where: str):
        """Raises ValueError, naming the file `where`, when `model` is none or has no start or end token."""
        self._model, self._where = model, where
        self._processor = _processor(model, where)
        with errors(where, "be read"):
            self.vocab_size = self._processor.GetPieceSize()
            self._names = [self._processor.IdToPiece(i) for i in range(self.vocab_size)]
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
        self._encoder = self._without_marks()
        self.denormalizes = sentencepiece_file.denormalizes(model)
        # a piece with a text, behind which others read as they do within a text
        plain = (i for i in range(self.vocab_size) if not self._processor.IsByte(i))
        self._anchor = next((i for i in plain if self._text([i])), self.end)
        self._before = len(self._text([self._anchor]))

    def encode(self, text: str) -> list[int]:
        parts = stretches(check_text(text), self._encoded)
        return [token for part in parts for token in part.of(self._encoded(part.text))]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def decode(self, tokens: Tokens) -> str:
        return self._text([int(token) for token in tokens if self.is_text(int(token))])

    def decoder(self) -> Decoder:
        return PieceDecoder(self)

    def unknown(self, text: str) -> tuple[str, ...]:
        unknown = self._processor.unk_id()
        found: list[str] = []
        for part in stretches(check_text(text), self._encoded):
            with errors(self._where, "encode a text"):
                pieces = self._encoder.EncodeAsPieces(part.text)
            found += [piece.strip(SPACE) for piece in pieces if self._encoder.PieceToId(piece) == unknown]
        return tuple(dict.fromkeys(found))

    def name(self, token: int) -> str:
        """The name of an id in the model."""
        return self._processor.IdToPiece(token)

    def save(self, path: str | Path) -> None:
        """Writes {"kind": "sentencepiece", "model": the file in base64}."""
        content = {"kind": "sentencepiece", "model": base64.b64encode(self._model).decode()}
        Path(path).write_text(json.dumps(content))

    def is_text(self, token: int) -> bool:
        return 0 <= token < self.vocab_size and token not in self._marks

    def byte(self, token: int) -> bytes | None:
        """The byte that a piece stands for, if it stands for one."""
        return bytes((int(self._names[token][3:5], 16),)) if self._processor.IsByte(token) else None

    def surface(self, token: int) -> str:
        """The text of a piece within a text."""
        return self._text([self._anchor, token])[self._before :]

    def _encoded(self, text: str) -> list[int]:
        with errors(self._where, "encode a text"):
            return self._encoder.EncodeAsIds(text)

    def _text(self, tokens: list[int]) -> str:
        with errors(self._where, "decode a text"):
            return self._processor.DecodeIds(tokens)

    def _ids(self, names: tuple[str, str, str]) -> tuple[int, int, int] | None:
        prefix, suffix, middle = (self._processor.PieceToId(name) for name in names)
        known = self._processor.unk_id() not in (prefix, suffix, middle)
        return (prefix, suffix, middle) if known else None

    def _without_marks(self) -> sentencepiece.SentencePieceProcessor:
        """The model that encodes: one in which no text spells a mark. Raises ValueError where text may all the same."""
        named = {i for i, name in enumerate(self._names) if is_mark(name)}
        marks = (self._marks | named) - {self._processor.unk_id()}
        changed = sentencepiece_file.as_control(self._model, marks)
        encoder = self._processor if changed == self._model else _processor(changed, self._where)
        for name in (self._names[mark] for mark in sorted(marks)):
            with errors(self._where, "encode a text"):
                spelled = {*encoder.EncodeAsIds(name), *encoder.EncodeAsIds(f"a {name}a")}
            if marks & spelled:
                raise ValueError(f"{self._where}: text that spells {short(name)} would become that token")
        return encoder


class PieceDecoder:
    """The pieces of a text one by one; an unfinished character waits for the rest of it, and a model that rewrites
    whole texts for the last piece."""

    def __init__(self, pieces: SentencePiece):
        self._pieces = pieces
        self._kept: tuple[int, ...] = ()  # pieces that have no text yet: spaces before the first word
        self._begun = False  # whether there is a text before the next piece
        self._rest = b""

    def push(self, token: int) -> str:
        pieces = self._pieces
        if not pieces.is_text(token):
            return ""
        if pieces.denormalizes:
            self._kept += (token,)
            return ""
        if (byte := pieces.byte(token)) is not None:
            self._begun, self._rest = True, self._rest + byte
            return self._characters()
        before, self._rest = self.finish(), b""
        if self._begun:
            return before + pieces.surface(token)
        self._kept += (token,)
        text = pieces.decode(self._kept)
        self._begun = bool(text)
        return text

    def finish(self) -> str:
        if self._pieces.denormalizes:
            return self._pieces.decode(self._kept)
        return REPLACEMENT * len(self._rest)

    def _characters(self) -> str:
        """The characters that are whole; each byte that belongs to none reads as U+FFFD."""
        text = ""
        while True:
            try:
                whole, read = codecs.utf_8_decode(self._rest, "strict", False)
                self._rest = self._rest[read:]
                return text + whole
            except UnicodeDecodeError as error:
                text += self._rest[: error.start].decode() + REPLACEMENT
                self._rest = self._rest[error.start + 1 :]


def _processor(model: bytes, where: str) -> sentencepiece.SentencePieceProcessor:
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(model)
        processor.GetPieceSize()
    except (RuntimeError, ValueError) as error:  # the second where its own message is no UTF-8
        raise ValueError(f"{where} is not a SentencePiece model: {short(str(error), REASON)}") from error
    return processor
