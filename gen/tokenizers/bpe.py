"""Subword tokenizers of the `tokenizers` library: those that gen trains (captions.py, text.py), or any tokenizer.json.

tokenizer = from_json(content, "gpt2/tokenizer.json", start=None, end=None, pad=None)
tokenizer.decode(tokenizer.encode("a seven"))                       # "a seven"
"""

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers

from gen.messages import short
from gen.tokenizers import special_tokens
from gen.tokenizers.base import SHOWN, Decoder, Tokens, check_text
from gen.tokenizers.growing import SubwordDecoder
from gen.tokenizers.incremental import Chain
from gen.tokenizers.library import errors, quiet, read
from gen.tokenizers.long_text import is_long, stretches

PAD, UNKNOWN, START, END = "<pad>", "<unk>", "<start>", "<end>"

# What published tokenizer files call their marks, tried in this order.
STARTS = (START, "<|startoftext|>", "<s>", "<bos>", "[CLS]", "<|begin_of_text|>")
ENDS = (END, "<|endoftext|>", "</s>", "<eos>", "[SEP]", "<|end_of_text|>")
PADS = (PAD, "[PAD]", "<|pad|>", "<|endoftext|>")  # CLIP pads with its end token
BOTH = "<|endoftext|>"  # GPT-2 has one token between documents and no other mark

# Texts that tell what a tokenizer puts at the ends of every text: it reads back as more than it was.
PROBES = ("a", "A", "0", ".", "\u0430", "\u7684", "\u0627", "\u0e01")

LETTER = "a"  # a text, to see what a post-processor puts around it


class BPE:
    """A tokenizer of the `tokenizers` library with the names of its start, end and pad tokens.

    Spaces that `encode` puts at the ends of every text, as captions have them, `decode` takes away again.
    """

    def __init__(self, tokenizer: tokenizers.Tokenizer, start: str, end: str, pad: str, where: str = "of the run"):
        """Raises ValueError, naming the file `where`, when a name is not that of a token, or the library fails."""
        tokenizer.encode_special_tokens = True
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer, self._where = tokenizer, where
        self._names = {"start": start, "end": end, "pad": pad}
        self.start, self.end, self.pad = (self.mark(name) for name in (start, end, pad))
        self.fim = _fim(tokenizer)
        self._marks = {self.start, self.end, self.pad, *(self.fim or ())}
        self._unknown = tokenizer.token_to_id(getattr(tokenizer.model, "unk_token", None) or UNKNOWN)
        self.vocab_size = 1 + max(tokenizer.get_vocab().values())
        text = self._json()
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()
        content = json.loads(text)["tokenizer"]
        self._decoder = Chain(content["decoder"])
        with quiet():  # the first texts of a file show what is broken in it
            self._encoder = self._without_marks(content)
            self._before, self._after = self._ends()

    def encode(self, text: str) -> list[int]:
        return [token for part in stretches(check_text(text), self._ids) for token in part.of(self._ids(part.text))]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        if any(map(is_long, texts)):
            return [self.encode(text) for text in texts]
        batch = [check_text(text) for text in texts]
        with errors(self._where, "encode a text"):
            return [encoding.ids for encoding in self._encoder.encode_batch_fast(batch, add_special_tokens=False)]

    def decode(self, tokens: Tokens) -> str:
        kept = [number for token in tokens if (number := int(token)) not in self._marks and number >= 0]
        return self._text(kept).removeprefix(self._before).removesuffix(self._after)

    def decoder(self) -> Decoder:
        return SubwordDecoder(self._token, self._decoder, (self._before, self._after), self._where)

    def mark(self, name: str) -> int:
        """The id of a token that is no text, by its name. Raises ValueError when there is none."""
        token = self._tokenizer.token_to_id(name)
        if token is None:
            raise ValueError(f"the tokenizer has no token {short(name)}")
        return token

    def name(self, token: int) -> str:
        """The name of an id in the file. Raises ValueError for an id that it does not have."""
        name = self._tokenizer.id_to_token(token)
        if name is None:
            raise ValueError(f"the tokenizer has no id {token}")
        return name

    def around(self) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """The ids that the file's own post-processor puts before and after a text; None where it has none."""
        if self._tokenizer.post_processor is None:
            return None
        whole = self._tokenizer.encode(LETTER, add_special_tokens=True).ids
        own = self._tokenizer.encode(LETTER, add_special_tokens=False).ids
        first = next((i for i in range(len(whole)) if own and whole[i : i + len(own)] == own), len(whole))
        return tuple(whole[:first]), tuple(whole[first + len(own) :])

    @property
    def byte_fallback(self) -> bool:
        """Whether unknown letters become bytes, as in SentencePiece models, those of Llama among them."""
        return bool(getattr(self._tokenizer.model, "byte_fallback", False))

    def unknown(self, text: str) -> tuple[str, ...]:
        found: list[str] = []
        for part in stretches(check_text(text), self._ids):
            with errors(self._where, "encode a text"):
                encoding = self._encoder.encode(part.text, add_special_tokens=False)
            spans = zip(encoding.ids, encoding.offsets, strict=True)
            found += [whole_letters(part.text, *span) for token, span in spans if token == self._unknown]
        return tuple(dict.fromkeys(found))

    def save(self, path: str | Path) -> None:
        """Writes {"kind": "subword", "start", "end", "pad", "tokenizer": what tokenizer.json holds}."""
        Path(path).write_text(self._json())

    def _ids(self, text: str) -> list[int]:
        with errors(self._where, "encode a text"):
            return self._encoder.encode(text, add_special_tokens=False).ids

    def _text(self, tokens: list[int]) -> str:
        with errors(self._where, "decode a text"):
            return self._tokenizer.decode(tokens, skip_special_tokens=False)

    def _token(self, number: int) -> str | None:
        """The string of an id that is text; None for marks, and for ids that no token has."""
        return None if number in self._marks or number < 0 else self._tokenizer.id_to_token(number)

    def _json(self) -> str:
        content = {"kind": "subword", **self._names, "tokenizer": json.loads(self._tokenizer.to_str())}
        return json.dumps(content, ensure_ascii=False)

    def _without_marks(self, content: dict[str, Any]) -> tokenizers.Tokenizer:
        """The tokenizer that encodes: this one, or one with the same ids where a text could spell a mark.

        Raises ValueError where text may become a mark all the same.
        """
        names = special_tokens.marks_of(content, {*self._names.values(), *(_fim_names(self._tokenizer) or ())})
        if self.pad not in (self.start, self.end) and self._names["pad"] == special_tokens.unknown_of(content):
            names -= {self._names["pad"]}  # what is unknown reads as padding; the file says so
        encoder = self._tokenizer
        if special_tokens.spellable(content, names):
            try:
                encoder = read(special_tokens.without(content, names), self._where)
            except ValueError as error:
                raise ValueError(f"{self._where}: {error}") from error
        ids = {self.mark(name) for name in names}
        with errors(self._where, "encode a text"):
            texts = [text for name in sorted(names) for text in (name, f"a {name}a")]
            spelled = {
                token for found in encoder.encode_batch_fast(texts, add_special_tokens=False) for token in found.ids
            }
        if ids & spelled:
            name = self._tokenizer.id_to_token(min(ids & spelled))
            raise ValueError(f"{self._where}: text that spells {short(name)} would become that token")
        return encoder

    def _ends(self) -> tuple[str, str]:
        """White space that every text has before and behind it once it was encoded and decoded."""
        self._text([])
        for probe in PROBES:
            text = self._text(self._ids(probe))
            if text.strip() == probe:
                before, after = text.split(probe)
                return before, after
        return "", ""


def whole_letters(text: str, first: int, last: int) -> str:
    """The text between two places, with the accents that belong to its last letter, without white space around it.

    A normalizer may make one letter of a letter and an accent, and its place is then that of the letter alone.
    """
    while last < len(text) and unicodedata.combining(text[last]):
        last += 1
    return text[first:last].strip()


def from_json(content: dict[str, Any], where: str, start: str | None, end: str | None, pad: str | None) -> BPE:
    """The tokenizer in the content of a tokenizer.json; marks that are not named are found by their usual names.

    Raises ValueError, naming the file `where`, when the content is no tokenizer or a mark is not found.
    """
    tokenizer = read(content, where)
    starts = (*STARTS, BOTH) if _special(tokenizer) == {BOTH} else STARTS
    start, end = _find(tokenizer, "start", start, starts, where), _find(tokenizer, "end", end, ENDS, where)
    # as with CLIP's own file, the end pads where nothing else does: what follows the first end is padding anyway
    return BPE(tokenizer, start, end, _find(tokenizer, "pad", pad, (*PADS, end), where), where)


def _find(tokenizer: tokenizers.Tokenizer, mark: str, name: str | None, usual: Sequence[str], where: str) -> str:
    for candidate in usual if name is None else (name,):
        if tokenizer.token_to_id(candidate) is not None:
            return candidate
    tried = "a known name" if name is None else short(name)
    key = {"start": "bos_token", "end": "eos_token", "pad": "pad_token"}[mark]
    special = sorted(token.content for token in tokenizer.get_added_tokens_decoder().values())
    some = ", ".join(map(short, special[:SHOWN])) + (
        f" and {len(special) - SHOWN} more" if len(special) > SHOWN else ""
    )
    raise ValueError(
        f"{where} has no {mark} token of {tried}; put the tokenizer_config.json of the model beside it, or write one:"
        f' {{"{key}": NAME}} (its added tokens: {some or "none"})'
    )


def _special(tokenizer: tokenizers.Tokenizer) -> set[str]:
    """The special tokens that might be a start: not those for padding and filling in the middle."""
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
    fim = {name for names in special_tokens.FIM for name in names}
    return special - set(PADS[:-1]) - {"<|padding|>", "<|endofprompt|>"} - fim


def _fim(tokenizer: tokenizers.Tokenizer) -> tuple[int, int, int] | None:
    names = _fim_names(tokenizer)
    if names is None:
        return None
    ids = {token.content: number for number, token in tokenizer.get_added_tokens_decoder().items()}
    prefix, suffix, middle = names
    return ids[prefix], ids[suffix], ids[middle]


def _fim_names(tokenizer: tokenizers.Tokenizer) -> tuple[str, str, str] | None:
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    return next((names for names in special_tokens.FIM if added.issuperset(names)), None)
