"""Subwords through the `tokenizers` library: BPE trained on captions (on text: text.py), or any tokenizer.json.

BPE (Sennrich et al. 2016, arXiv 1508.07909) starts from characters, here UTF-8 bytes as in GPT-2, and merges the
most frequent neighbours until the vocabulary is full. As in CLIP, captions are lower-cased and the end token has the
largest id.

    tokenizer = train(["a seven in red ink", "a two in blue ink"], vocab_size=300)
    tokenizer.decode(tokenizer.encode("A seven"))                       # "a seven"
"""

import copy
import hashlib
import json
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from gen.messages import short
from gen.tokenizers import marks
from gen.tokenizers.base import SHOWN, Decoder, Tokens, check_text
from gen.tokenizers.incremental import Chain
from gen.tokenizers.library import errors, quiet, read
from gen.tokenizers.stretches import is_long, stretches

PAD, UNKNOWN, START, END = "<pad>", "<unk>", "<start>", "<end>"

# What published tokenizer files call their marks, tried in this order.
STARTS = (START, "<|startoftext|>", "<s>", "<bos>", "[CLS]", "<|begin_of_text|>")
ENDS = (END, "<|endoftext|>", "</s>", "<eos>", "[SEP]", "<|end_of_text|>")
PADS = (PAD, "[PAD]", "<|pad|>", "<|endoftext|>")  # CLIP pads with its end token
BOTH = "<|endoftext|>"  # GPT-2 has one token between documents and no other mark

# Texts that tell what a tokenizer puts at the ends of every text: it reads back as more than it was.
PROBES = ("a", "A", "0", ".", "\u0430", "\u7684", "\u0627", "\u0e01")


class Subword:
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
        return SubwordDecoder(self._token, self._decoder, self._before, self._after)

    def mark(self, name: str) -> int:
        """The id of a token that is no text, by its name. Raises ValueError when there is none."""
        token = self._tokenizer.token_to_id(name)
        if token is None:
            raise ValueError(f"the tokenizer has no token {short(name)}")
        return token

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
        names = marks.marks_of(content, {*self._names.values(), *(_fim_names(self._tokenizer) or ())})
        if self.pad not in (self.start, self.end) and self._names["pad"] == marks.unknown_of(content):
            names -= {self._names["pad"]}  # what is unknown reads as padding; the file says so
        encoder = self._tokenizer
        if marks.spellable(content, names):
            try:
                encoder = read(marks.without(content, names), self._where)
            except ValueError as error:
                raise ValueError(f"{self._where}: {error}") from error
        ids = {self._tokenizer.token_to_id(name) for name in names}
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
        with quiet():
            self._text([])
            for probe in PROBES:
                text = self._text(self._ids(probe))
                if text.strip() == probe:
                    before, after = text.split(probe)
                    return before, after
        return "", ""


class SubwordDecoder:
    """The tokens of a text one by one, through the `chain` of its decoder, without what stands at its ends."""

    def __init__(self, token: Callable[[int], str | None], chain: Chain, before: str, after: str):
        self._token, self._chain = token, copy.copy(chain)
        self._before, self._after = before, after
        self._kept = ""  # what may turn out to be one of the ends

    def __copy__(self) -> "SubwordDecoder":
        other = SubwordDecoder(self._token, self._chain, self._before, self._after)
        other._kept = self._kept
        return other

    def push(self, token: int) -> str:
        name = self._token(token)
        if name is None:
            return ""
        text = self._kept + self._chain.push(name)
        if self._before:
            if len(text) < len(self._before) and self._before.startswith(text):
                self._kept = text
                return ""
            text, self._before = text.removeprefix(self._before), ""
        size = next((n for n in range(len(self._after), 0, -1) if text.endswith(self._after[:n])), 0)
        final = len(text) - size
        self._kept = text[final:]
        return text[:final]

    def finish(self) -> str:
        text = self._kept + self._chain.finish()
        return text.removeprefix(self._before).removesuffix(self._after)


def whole_letters(text: str, first: int, last: int) -> str:
    """The text between two places, with the accents that belong to its last letter, without white space around it.

    A normalizer may make one letter of a letter and an accent, and its place is then that of the letter alone.
    """
    while last < len(text) and unicodedata.combining(text[last]):
        last += 1
    return text[first:last].strip()


def train(captions: Iterable[str], vocab_size: int) -> Subword:
    """Byte-level BPE over `captions`, with at most `vocab_size` tokens, the four special ones included.

    Only bytes that occur in the captions get a token, so that nothing in the vocabulary is untrained; any other is
    "<unk>" and reported by `unknown`. The same captions give the same tokenizer.
    Raises ValueError when there are no captions or the vocabulary cannot hold their bytes.
    """
    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    around = [START, END]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(around), special_tokens=[PAD, UNKNOWN], show_progress=False
    )
    tokenizer.train_from_iterator(captions, trainer)
    if tokenizer.get_vocab_size() == 2:
        raise ValueError("a tokenizer cannot be trained without captions")
    tokenizer.add_special_tokens(around)  # last, so that the end token has the largest id
    if tokenizer.get_vocab_size() > vocab_size:
        needed = tokenizer.get_vocab_size()
        raise ValueError(f"the captions need {needed} tokens before any merge, vocab_size is {vocab_size}; raise it")
    return Subword(tokenizer, START, END, PAD)


def from_json(content: dict[str, Any], where: str, start: str | None, end: str | None, pad: str | None) -> Subword:
    """The tokenizer in the content of a tokenizer.json; marks that are not named are found by their usual names.

    Raises ValueError, naming the file `where`, when the content is no tokenizer or a mark is not found.
    """
    tokenizer = read(content, where)
    starts = (*STARTS, BOTH) if _special(tokenizer) == {BOTH} else STARTS
    start, end = _find(tokenizer, "start", start, starts, where), _find(tokenizer, "end", end, ENDS, where)
    # as with CLIP's own file, the end pads where nothing else does: what follows the first end is padding anyway
    return Subword(tokenizer, start, end, _find(tokenizer, "pad", pad, (*PADS, end), where), where)


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
    fim = {name for names in marks.FIM for name in names}
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
    return next((names for names in marks.FIM if added.issuperset(names)), None)
