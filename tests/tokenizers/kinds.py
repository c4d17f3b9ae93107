"""Small tokenizers of every kind: each model and each decoder of the `tokenizers` library, SentencePiece, bytes."""

import json
from functools import cache

from gen.tokenizers import BPE, Bytes, Tokenizer, train, train_text
from gen.tokenizers.bpe import from_json
from gen.tokenizers.sentencepiece import SentencePiece
from tests.tokenizers.test_pieces import EXACT, model

SPACE = "\u2581"
LETTERS = ["a", "b", "c", "<", "/", "s", ">", ".", "'", "\n", "é", "七", SPACE, f"{SPACE}a", f"{SPACE}{SPACE}", "ab"]
MARKS = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{i:02X}>" for i in range(256)]
REPLACE = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
LLAMA = [REPLACE, {"type": "ByteFallback"}, {"type": "Fuse"}]
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}

# what may stand under "decoder" of a tokenizer.json, by a name
DECODERS = {
    "none": None,
    "llama": {"type": "Sequence", "decoders": [*LLAMA, STRIP]},
    "gemma": {"type": "Sequence", "decoders": LLAMA},
    "fallback": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Sequence", "decoders": []}]},
    "unfused": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, STRIP]},
    "bytes": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    "metaspace": {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": True},
    "first": {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first", "split": True},
    "bytes first": {"type": "Sequence", "decoders": [
        {"type": "ByteFallback"},
        {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "first", "split": True}]},
    "never": {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "never", "split": True},
    "wordpiece": {"type": "WordPiece", "prefix": "a", "cleanup": True},
    "suffix": {"type": "BPEDecoder", "suffix": "b"},
    "ctc": {"type": "CTC", "pad_token": "a", "word_delimiter_token": SPACE, "cleanup": True},
    "ctc words": {"type": "Sequence", "decoders": [
        {"type": "CTC", "pad_token": "a", "word_delimiter_token": "|", "cleanup": False},
        {"type": "WordPiece", "prefix": "b", "cleanup": False}, {"type": "BPEDecoder", "suffix": "s"}]},
    "pattern": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"Regex": "[ab]+"}, "content": "x"}]},
    "whole": {"type": "Sequence", "decoders": [
        *LLAMA, {"type": "Replace", "pattern": {"Regex": " +a"}, "content": "x"}, STRIP]},
    "letters": {"type": "Sequence", "decoders": [
        *LLAMA, {"type": "Replace", "pattern": {"String": "b"}, "content": "xy"}, {"type": "Fuse"}, STRIP]},
}  # fmt: skip


def mark(number: int, name: str, special: bool = True, **more) -> dict:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special}
    return {"id": number, "content": name, **flags} | more


def content(model: dict, **parts) -> dict:
    """What a tokenizer.json holds, with a vocabulary that begins with MARKS."""
    empty = dict.fromkeys(("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder"))
    added = [mark(i, name) for i, name in enumerate(MARKS)]
    return {"version": "1.0", **empty, "added_tokens": added, "model": model} | parts


def bpe(*more: str, merges: list[str] = (), **fields) -> dict:
    vocab = {name: i for i, name in enumerate([*MARKS, *LETTERS, *more])}
    return {"type": "BPE", "unk_token": "<unk>", "vocab": vocab, "merges": list(merges), "byte_fallback": True} | fields


def unigram(*more: str) -> dict:
    vocab = [*([name, 0.0] for name in MARKS), *([name, -float(len(name))] for name in (*LETTERS, *more))]
    return {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": True}


def words(kind: str, *more: str) -> dict:
    fields = {"max_input_chars_per_word": 100, "continuing_subword_prefix": ""} if kind == "WordPiece" else {}
    return {"type": kind, "unk_token": "<unk>", "vocab": bpe(*more)["vocab"], **fields}


def made(data: dict) -> BPE:
    return from_json(json.loads(json.dumps(data)), "here", None, None, None)


METASPACE = {
    scheme: {"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": False}
    for scheme in ("always", "first")
}
SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
PREPEND = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, SPACES]}


@cache
def kinds() -> dict[str, Tokenizer]:
    """Tokenizers by name."""
    found: dict[str, Tokenizer] = {
        "bytes": Bytes(),
        "text": train_text(["a seven in red ink\n  in blue"] * 9, 266),
        "captions": train(["a seven in red ink"], 40),
        "pieces": SentencePiece(model(**EXACT), "exact"),
        "usual pieces": SentencePiece(model(), "usual"),
        "pieces of words": SentencePiece(model(model_type="unigram", vocab_size=284), "unigram"),
        "prepend": made(content(bpe(*BYTES), normalizer=PREPEND, decoder=DECODERS["llama"])),
        "always": made(content(bpe(*BYTES), pre_tokenizer=METASPACE["always"], decoder=DECODERS["llama"])),
        "first": made(content(unigram(*BYTES), pre_tokenizer=METASPACE["first"], decoder=DECODERS["bytes first"])),
        "words": made(content(words("WordPiece"), decoder=DECODERS["wordpiece"])),
    }
    for name, decoder in DECODERS.items():
        found[f"decoder {name}"] = made(content(bpe(*BYTES, "Ġ", "Ċ", "æĹ"), decoder=decoder))
    return found
