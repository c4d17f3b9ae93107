"""Marks: tokens that are no text, as the end of a document or of a turn. Whatever a text spells, it becomes none.

The tokenizers library finds added tokens in a text, unless they are "special"; and the model of a file may have a mark
as a piece: every piece of a Unigram model is found, a whole word of a WordPiece or WordLevel model is, and so is what
the merges of a BPE model make. `without` describes a tokenizer with the same ids whose marks have names that nobody
can spell, so that their spelling is split into other pieces:

    marks = marks_of(content, {"<s>", "</s>"})
    if spellable(content, marks):
        encoder = library.read(without(content, marks), where)

Added tokens that stand for text stay: runs of spaces, tags of HTML.
"""

import re
import secrets
from collections.abc import Collection
from typing import Any

# prefix, suffix and middle of fill in the middle: gen and StarCoder, Qwen, the paper, Code Llama, SantaCoder, DeepSeek
FIM = (
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<PRE>", "<SUF>", "<MID>"),
    ("\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581hole\uff5c>", "<\uff5cfim\u2581end\uff5c>"),
)

# Names that only marks have, whatever a file says of them: <|im_end|>, <｜User｜>, and the turns of Gemma.
NAMED = re.compile(r"<\|.*\|>|<\uff5c.*\uff5c>|<(?:start|end)_of_turn>|\u2581?<(?:PRE|SUF|MID|EOT)>", re.DOTALL)


def is_mark(name: str) -> bool:
    """Whether a token has a name that no text is meant to have."""
    return bool(NAMED.fullmatch(name))


def marks_of(content: dict[str, Any], own: Collection[str]) -> set[str]:
    """The names of a tokenizer.json's marks: `own`, special tokens, and added tokens whose name says so.

    The unknown token is not among them, unless it is one of `own`: texts are meant to have it.
    """
    added = content.get("added_tokens") or ()
    found = {token["content"] for token in added if token.get("special") or is_mark(token["content"])}
    return found - {unknown_of(content)} | set(own)


def unknown_of(content: dict[str, Any]) -> str | None:
    """The name of the token for what the vocabulary cannot express."""
    model = content["model"]
    number = model.get("unk_id")
    return model["vocab"][number][0] if isinstance(number, int) else model.get("unk_token")


def spellable(content: dict[str, Any], marks: Collection[str]) -> bool:
    """Whether some text may encode to a mark, so that the tokenizer needs to be read `without` them."""
    model = content["model"]
    if any(token["content"] in marks and not token.get("special") for token in content.get("added_tokens") or ()):
        return True
    inside = _names(model).intersection(marks)
    if not isinstance(model.get("merges"), list):
        return bool(inside)
    if unknown_of(content) in marks:
        return True
    single = any(len(name) == 1 for name in inside)
    return bool(inside) and (single or bool(model.get("ignore_merges")) or any(_makes(model, marks)))


def without(content: dict[str, Any], marks: Collection[str]) -> dict[str, Any]:
    """The same tokenizer with the same ids, whose marks have names that no text spells, as nobody can know them.

    A character that only a mark could express is unknown then; a BPE model without a token for that leaves it out.
    Raises ValueError when the unknown token of another model is a mark.
    """
    secret = f"\U0010fffd{secrets.token_hex(16)}"
    name = lambda token: f"{token}{secret}" if token in marks else token
    added = [
        {**token, "content": name(token["content"]), "special": True, "normalized": False}
        if token["content"] in marks
        else token
        for token in content.get("added_tokens") or ()
    ]
    model = dict(content["model"])
    if isinstance(model["vocab"], dict):
        model["vocab"] = {name(token): number for token, number in model["vocab"].items()}
    else:
        model["vocab"] = [[name(token), score] for token, score in model["vocab"]]
    unknown = unknown_of(content)
    if isinstance(model.get("merges"), list):
        model["merges"] = [pair for pair, made in zip(model["merges"], _makes(model, marks), strict=True) if not made]
        model["unk_token"] = None if unknown in marks else unknown
    elif unknown in marks:
        raise ValueError(f"whatever is not in its vocabulary reads as {unknown!r}, which is its start or end as well")
    return {**content, "added_tokens": added, "model": model}


def _names(model: dict[str, Any]) -> set[str]:
    vocab = model["vocab"]
    return set(vocab) if isinstance(vocab, dict) else {token for token, _ in vocab}


def _makes(model: dict[str, Any], marks: Collection[str]) -> list[bool]:
    """Whether each merge of a BPE model makes a mark or reads one."""
    prefix = len(model.get("continuing_subword_prefix") or "")
    found = []
    for pair in model["merges"]:
        first, second = pair.split(" ", 1) if isinstance(pair, str) else pair
        found.append(first in marks or second in marks or first + second[prefix:] in marks)
    return found
