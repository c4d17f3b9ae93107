"""Subwords through the `tokenizers` library: BPE trained on captions (on text: text.py), or any tokenizer.json.

BPE (Sennrich et al. 2016, arXiv 1508.07909) starts from characters, here UTF-8 bytes as in GPT-2, and merges the
most frequent neighbours until the vocabulary is full. As in CLIP, captions are lower-cased and the end token has the
largest id.

    tokenizer = train(["a seven in red ink", "a two in blue ink"], vocab_size=300)
    tokenizer.decode(tokenizer.encode("A seven"))                       # "a seven"
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from gen.tokenizers.base import Tokens

PAD, UNKNOWN, START, END = "<pad>", "<unk>", "<start>", "<end>"

# What published tokenizer files call their marks, tried in this order.
STARTS = (START, "<|startoftext|>", "<s>", "<bos>", "[CLS]", "<|begin_of_text|>")
ENDS = (END, "<|endoftext|>", "</s>", "<eos>", "[SEP]", "<|end_of_text|>")
PADS = (PAD, "[PAD]", "<|pad|>", "<|endoftext|>")  # CLIP pads with its end token
BOTH = "<|endoftext|>"  # GPT-2 has one token between documents and no other mark

# prefix, suffix and middle of fill in the middle: gen and StarCoder, Qwen, the paper, Code Llama, SantaCoder, DeepSeek
FIM = (
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<PRE>", "<SUF>", "<MID>"),
    ("\u2581<PRE>", "\u2581<SUF>", "\u2581<MID>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581hole\uff5c>", "<\uff5cfim\u2581end\uff5c>"),
)

# A tokenizer that gives this back changes nothing: case, accents, spaces at the ends and in the middle, line breaks.
PROBE = "  A\u00e9 \n\n\tb  c\U0001f600 "

LETTER = "a"  # a text, to see what a post-processor puts around it


class Subword:
    """A tokenizer of the `tokenizers` library with the names of its start, end and pad tokens."""

    def __init__(self, tokenizer: tokenizers.Tokenizer, start: str, end: str, pad: str):
        # A caption that spells "<end>" must not end itself; rows are framed and padded by `fit`, nowhere else.
        tokenizer.encode_special_tokens = True
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._names = {"start": start, "end": end, "pad": pad}
        self.start, self.end, self.pad = (self.mark(name) for name in (start, end, pad))
        self.fim = _fim(tokenizer)
        self._marks = {self.start, self.end, self.pad, *(self.fim or ())}
        self._unknown = tokenizer.token_to_id(getattr(tokenizer.model, "unk_token", None) or UNKNOWN)
        self.vocab_size = 1 + max(tokenizer.get_vocab().values())
        self.fingerprint = hashlib.sha256(self._json().encode()).hexdigest()
        self._exact = self._text(self.encode(PROBE)) == PROBE

    def encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, tokens: Tokens) -> str:
        """The text, to the last space where the tokenizer keeps spaces, else without those that it put at the ends."""
        text = self._text([int(token) for token in tokens if int(token) not in self._marks])
        return text if self._exact else text.strip()

    def mark(self, name: str) -> int:
        """The id of a token that is no text, by its name. Raises ValueError when there is none."""
        token = self._tokenizer.token_to_id(name)
        if token is None:
            raise ValueError(f"the tokenizer has no token {name!r}")
        return token

    def name(self, token: int) -> str:
        """What the file calls an id. Raises ValueError for an id that it does not have."""
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
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        spans = [span for token, span in zip(encoding.ids, encoding.offsets, strict=True) if token == self._unknown]
        return tuple(dict.fromkeys(text[first:last].strip() for first, last in spans))

    def save(self, path: str | Path) -> None:
        """Writes {"kind": "subword", "start", "end", "pad", "tokenizer": what tokenizer.json holds}."""
        Path(path).write_text(self._json())

    def _text(self, tokens: list[int]) -> str:
        return self._tokenizer.decode(tokens, skip_special_tokens=False)

    def _json(self) -> str:
        content = {"kind": "subword", **self._names, "tokenizer": json.loads(self._tokenizer.to_str())}
        return json.dumps(content, ensure_ascii=False)


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
    marks = [START, END]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(marks), special_tokens=[PAD, UNKNOWN], show_progress=False
    )
    tokenizer.train_from_iterator(captions, trainer)
    if tokenizer.get_vocab_size() == 2:
        raise ValueError("a tokenizer cannot be trained without captions")
    tokenizer.add_special_tokens(marks)  # last, so that the end token has the largest id
    if tokenizer.get_vocab_size() > vocab_size:
        needed = tokenizer.get_vocab_size()
        raise ValueError(f"the captions need {needed} tokens before any merge, vocab_size is {vocab_size}; raise it")
    return Subword(tokenizer, START, END, PAD)


def from_json(content: dict, where: str, start: str | None, end: str | None, pad: str | None) -> Subword:
    """The tokenizer in the content of a tokenizer.json; marks that are not named are found by their usual names.

    Raises ValueError, naming the file `where`, when the content is no tokenizer or a mark is not found.
    """
    try:
        tokenizer = tokenizers.Tokenizer.from_str(json.dumps(content))
    except Exception as error:  # the library raises bare Exception
        raise ValueError(f"{where} is not a tokenizer.json that the tokenizers library reads: {error}") from error
    starts = (*STARTS, BOTH) if _special(tokenizer) == {BOTH} else STARTS
    start, end = _find(tokenizer, "start", start, starts, where), _find(tokenizer, "end", end, ENDS, where)
    # as with CLIP's own file, the end pads where nothing else does: what follows the first end is padding anyway
    return Subword(tokenizer, start, end, _find(tokenizer, "pad", pad, (*PADS, end), where))


def _find(tokenizer: tokenizers.Tokenizer, mark: str, name: str | None, usual: Sequence[str], where: str) -> str:
    for candidate in usual if name is None else (name,):
        if tokenizer.token_to_id(candidate) is not None:
            return candidate
    special = ", ".join(sorted(token.content for token in tokenizer.get_added_tokens_decoder().values()))
    tried = "a known name" if name is None else repr(name)
    raise ValueError(f"{where} has no {mark} token of {tried}; pass {mark}=NAME (its special tokens: {special})")


def _special(tokenizer: tokenizers.Tokenizer) -> set[str]:
    """The special tokens that might be a start: not those for padding and filling in the middle."""
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
    return special - set(PADS[:-1]) - {"<|padding|>", "<|endofprompt|>"} - {name for names in FIM for name in names}


def _fim(tokenizer: tokenizers.Tokenizer) -> tuple[int, int, int] | None:
    ids = {token.content: number for number, token in tokenizer.get_added_tokens_decoder().items()}
    for prefix, suffix, middle in FIM:
        if {prefix, suffix, middle} <= ids.keys():
            return ids[prefix], ids[suffix], ids[middle]
    return None
