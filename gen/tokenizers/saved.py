"""Tokenizers from files: those that gen saved, any tokenizer.json, SentencePiece models. Nothing in them is executed.

load("run/tokenizer.json")          what `save` wrote
load("gpt2/tokenizer.json")         of the `tokenizers` library; its marks by their usual names, or by those that
                                    tokenizer_config.json beside it gives
load("gemma/tokenizer.model")       SentencePiece
"""

import base64
import binascii
import json
from pathlib import Path
from typing import Any

from gen.tokenizers.base import Tokenizer
from gen.tokenizers.bytes import Bytes
from gen.tokenizers.subword import from_json


def load(path: str | Path, start: str | None = None, end: str | None = None, pad: str | None = None) -> Tokenizer:
    """The tokenizer in a file.

    `start`, `end` and `pad` name those tokens where a tokenizer.json calls them by unusual names.
    Raises ValueError, naming the file, when it cannot be read, is no tokenizer, or lacks one of the three.
    """
    path = Path(path)
    if path.suffix == ".model":
        return _pieces(_read(path), path)
    content = _json(path)
    try:
        match content.get("kind"):
            case "bytes":
                return Bytes()
            case "subword":
                return from_json(content["tokenizer"], str(path), content["start"], content["end"], content["pad"])
            case "sentencepiece":
                return _pieces(base64.b64decode(content["model"], validate=True), path)
    except (KeyError, TypeError, binascii.Error) as error:
        raise ValueError(f"{path} is not a tokenizer as gen saves it: {error!r}; take it from the run again") from error
    beside = _marks(path.with_name("tokenizer_config.json"))
    return from_json(content, str(path), start or beside["start"], end or beside["end"], pad or beside["pad"])


def _marks(path: Path) -> dict[str, str | None]:
    """The names that a tokenizer_config.json gives, as far as there is one; without a start the end has its place."""
    content = _json(path) if path.is_file() else {}
    names = {mark: content.get(f"{mark}_token") for mark in ("bos", "eos", "pad")}
    names = {mark: name.get("content") if isinstance(name, dict) else name for mark, name in names.items()}
    for mark, name in names.items():
        if not isinstance(name, str | None):
            raise ValueError(f"{path}: {mark}_token is {name!r}, expected the name of a token")
    bos, eos, pad = names.values()
    return {"start": bos or eos, "end": eos, "pad": pad}


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"cannot read the tokenizer {path}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a tokenizer: expected a JSON object")
    return content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read the tokenizer {path}: {error.strerror or error}") from error


def _pieces(model: bytes, path: Path) -> Tokenizer:
    from gen.tokenizers.pieces import Pieces  # only who needs it waits for sentencepiece

    return Pieces(model, str(path))
