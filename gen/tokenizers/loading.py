"""Tokenizers from files: those that gen saved, any tokenizer.json, SentencePiece models. Nothing in them is executed.

load("run/tokenizer.json")          what `save` wrote
load("gpt2/tokenizer.json")         of the `tokenizers` library; its marks by their usual names, or by those that
                                    tokenizer_config.json beside it gives
load("gemma/tokenizer.model")       SentencePiece
"""

import base64
import binascii
from pathlib import Path
from typing import Any, TypedDict

from gen import jsonfile
from gen.messages import short
from gen.tokenizers.base import Tokenizer
from gen.tokenizers.bpe import from_json
from gen.tokenizers.bytes import Bytes

SIZE = 2**28  # bytes of a file: the largest that are published have 40 MB


class _Subword(TypedDict):
    tokenizer: dict[str, Any]
    start: str
    end: str
    pad: str


class _SentencePiece(TypedDict):
    model: str


def load(path: str | Path, start: str | None = None, end: str | None = None, pad: str | None = None) -> Tokenizer:
    """The tokenizer in a file.

    `start`, `end` and `pad` name those tokens where a tokenizer.json calls them by unusual names.
    Raises ValueError, naming the file, when it cannot be read, is no tokenizer, or lacks one of the three.
    """
    path = Path(path)
    if path.suffix == ".model":
        return _pieces(_read(path), path)
    content = content_of(path)
    try:
        match content.get("kind"):
            case "bytes":
                return Bytes()
            case "subword":
                own = jsonfile.check(content, _Subword, str(path))
                return from_json(own["tokenizer"], str(path), own["start"], own["end"], own["pad"])
            case "sentencepiece":
                model = jsonfile.check(content, _SentencePiece, str(path))["model"]
                return _pieces(base64.b64decode(model, validate=True), path)
    except (jsonfile.NotReadable, binascii.Error) as error:
        raise ValueError(f"{path} is not a tokenizer as gen saves it: {error}; take it from the run again") from error
    beside = _marks(path.with_name("tokenizer_config.json"))
    return from_json(content, str(path), start or beside["start"], end or beside["end"], pad or beside["pad"])


def _marks(path: Path) -> dict[str, str | None]:
    """The names that a tokenizer_config.json gives, as far as there is one; without a start the end has its place."""
    content = content_of(path) if path.is_file() else {}
    names = {mark: content.get(f"{mark}_token") for mark in ("bos", "eos", "pad")}
    names = {mark: name.get("content") if isinstance(name, dict) else name for mark, name in names.items()}
    for mark, name in names.items():
        if not isinstance(name, str | None):
            raise ValueError(f"{path}: {mark}_token is {short(name)}, expected the name of a token")
    bos, eos, pad = names.values()
    return {"start": bos or eos, "end": eos, "pad": pad}


def content_of(path: Path) -> dict[str, Any]:
    """The JSON of a tokenizer's file. Raises ValueError."""
    try:
        return jsonfile.read(path, size=SIZE, advice="take it from the model or the run again")
    except jsonfile.NotReadable as error:
        raise ValueError(f"cannot read the tokenizer: {error}") from error
    except OSError as error:
        raise ValueError(f"cannot read the tokenizer {path}: {error.strerror or error}") from error


def _read(path: Path) -> bytes:
    try:
        with jsonfile.open_regular(path) as file:
            data = file.read(SIZE + 1)
    except jsonfile.NotReadable as error:
        raise ValueError(f"cannot read the tokenizer: {error}") from error
    except OSError as error:
        raise ValueError(f"cannot read the tokenizer {path}: {error.strerror or error}") from error
    if len(data) > SIZE:
        raise ValueError(f"cannot read the tokenizer {path}: it is larger than {SIZE:,} bytes")
    return data


def _pieces(model: bytes, path: Path) -> Tokenizer:
    from gen.tokenizers.sentencepiece import SentencePiece  # only who needs it waits for sentencepiece

    return SentencePiece(model, str(path))
