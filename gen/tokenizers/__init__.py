"""Text to tokens and back: one protocol (base), UTF-8 bytes (bytes), subwords (subword), and `load` for all of them.

T is the context, the length of a row of tokens.

    tokenizer = load("run/tokenizer.json")
    tokens_T, length, cut, unknown = fit(tokenizer, "a handwritten seven", context=24)
"""

import json
from pathlib import Path

from gen.tokenizers.base import Fitted, Tokenizer, fit, fit_prompt
from gen.tokenizers.bytes import Bytes
from gen.tokenizers.subword import Subword, from_json, train

__all__ = ["Bytes", "Fitted", "Subword", "Tokenizer", "fit", "fit_prompt", "load", "train"]


def load(path: str | Path, start: str | None = None, end: str | None = None, pad: str | None = None) -> Tokenizer:
    """The tokenizer in a file written by `save`, or in any tokenizer.json of the `tokenizers` library.

    `start`, `end` and `pad` name those tokens where a tokenizer.json calls them by unusual names.
    Raises ValueError, naming the file, when it is not JSON, not a tokenizer, or lacks one of the three.
    """
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read the tokenizer {path}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a tokenizer: expected a JSON object")
    if content.get("kind") == "bytes":
        return Bytes()
    if content.get("kind") == "subword":
        return from_json(content["tokenizer"], str(path), content["start"], content["end"], content["pad"])
    return from_json(content, str(path), start, end, pad)
