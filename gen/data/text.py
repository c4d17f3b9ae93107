"""From the `data` section of a language model's config to batches: corpora, tokenizer, token stores and loaders.

T is the length of a row.

    cfg = TextConfig(source="stdlib", tokenizer="bpe:4096")
    pipeline = TextPipeline(cfg, make_text_tokenizer(cfg), length=512)
    pipeline.train(batch_size=16).batch(1000)["tokens"]                 # int32 (16, 512)
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from gen import files, tokenizers
from gen.bounds import Bounded, Fraction, Natural, at_least, below
from gen.config import resumable
from gen.data.corpora import KINDS, open_corpus
from gen.data.corpus import Corpus, Document
from gen.data.fim import NO_MARKS
from gen.data.kinds import state_rule
from gen.data.mixture import MixturePart, block_shares
from gen.data.notes import merged
from gen.data.source import digest
from gen.data.text_loader import TextLoader, TextOnce
from gen.data.tokens import TokenStore, prepare, stretches
from gen.tokenizers import Tokenizer


@dataclasses.dataclass(frozen=True)
class TextDataConfig(Bounded):
    """Either `source`, a kind in gen.data.corpora with that kind's `options`, or a `mixture` of several, by name.

    `tokenizer` is "bpe:SIZE" (trained on the training split), "bytes", or the path of a tokenizer.json or a
    SentencePiece model. `fim` is the probability that a document is told for filling in its middle. Evaluation rows
    share `overlap` of their length with the row before, as context that does not count again. `seed` shuffles; the
    run's seed does not. `cache` is the folder of encoded corpora; None means the environment's GEN_CACHE, else
    ~/.cache/gen.
    """

    source: str = ""
    mixture: dict[str, MixturePart] = dataclasses.field(default_factory=dict)
    train_split: str = "train"
    eval_split: str = resumable("test")
    tokenizer: str = "bpe:4096"
    fim: Fraction = 0.0
    overlap: Annotated[float, at_least(0), below(1)] = resumable(0.0)
    seed: Natural = 0
    cache: str | None = resumable(None)
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        state_rule(self, KINDS)


def make_text_tokenizer(cfg: TextDataConfig) -> Tokenizer:
    """The tokenizer that the config names, trained if need be. Raises ValueError for one that does not exist."""

    def learn(size: int) -> Tokenizer:
        corpora = open_corpora(cfg, cfg.train_split).values()
        texts = (part.text for corpus in corpora for doc in corpus.documents() for part in stretches(doc.text))
        return tokenizers.train_text(texts, size)

    return tokenizers.named(cfg.tokenizer, learn, example=4096)


def open_corpora(cfg: TextDataConfig, split: str) -> dict[str, Corpus]:
    """The corpora of one split by the name of their part; that of a single source is ""."""
    return {name: open_corpus(part.source, split, **part.options) for name, part in _parts(cfg).items()}


def documents(cfg: TextDataConfig, split: str) -> Iterator[Document]:
    """The documents of a split as they are, of all parts of a mixture in turn; nothing is encoded."""
    for name, corpus in open_corpora(cfg, split).items():
        for document in corpus.documents():
            yield Document(f"{name}: {document.name}" if name else document.name, document.text)


class TextPipeline:
    """The data of one run; corpora are encoded on first use and kept in the cache."""

    labels: Sequence[str] = ()

    def __init__(self, cfg: TextDataConfig, tokenizer: Tokenizer, length: int):
        """`length` is the number of tokens in a row.

        Raises ValueError for a config that contradicts itself, marks that the tokenizer lacks, a weight too small, or
        a training split of less than one row.
        """
        _check(cfg, tokenizer, length)
        self.cfg, self.tokenizer, self.length = cfg, tokenizer, length
        corpora = self._corpora = list(open_corpora(cfg, cfg.train_split).values())
        self._shares = tuple(block_shares({name: part.weight for name, part in _parts(cfg).items()}).values())
        self._stores = [self._prepared(corpus) for corpus in corpora]
        for corpus, store in zip(corpora, self._stores, strict=True):
            if len(store) < length:
                raise ValueError(
                    f"{corpus.name} has {len(store)} tokens, less than one row of {length}; "
                    "lower the model's context or add text"
                )
        parts = (f"{share} {corpus.fingerprint}" for share, corpus in zip(self._shares, corpora, strict=True))
        self.fingerprint = digest("text", tokenizer.fingerprint, *parts)
        # what a person should know, a sentence each
        self.notes = _notes(corpora, self._stores)

    @functools.cached_property
    def held_out(self) -> list[Corpus]:
        return list(open_corpora(self.cfg, self.cfg.eval_split).values())

    @functools.cached_property
    def fingerprints(self) -> dict[str, str]:
        """Of what is held out, and of each part of a mixture."""
        parts = {
            f"part {name} of the {which}": corpus.fingerprint
            for which, corpora in (("training data", self._corpora), ("held-out data", self.held_out))
            for name, corpus in zip(self.cfg.mixture, corpora, strict=False)
        }
        whole = digest("text", self.tokenizer.fingerprint, *(corpus.fingerprint for corpus in self.held_out))
        return {"held-out data": whole, **parts}

    def train(self, batch_size: int) -> TextLoader:
        return TextLoader(
            self._stores, self._shares, self.tokenizer, batch_size, self.length, self.cfg.seed, self.cfg.fim
        )

    def evaluate(self, batch_size: int) -> TextOnce:
        stores = [self._prepared(corpus) for corpus in self.held_out]
        self.notes = merged(self.notes, _notes(self.held_out, stores))
        return TextOnce(stores, self.tokenizer, batch_size, self.length, self.cfg.overlap)

    def _prepared(self, corpus: Corpus) -> TokenStore:
        return prepare(corpus, self.tokenizer, files.cache_folder(self.cfg.cache))


def _notes(corpora: Sequence[Corpus], stores: Sequence[TokenStore]) -> list[str]:
    damaged = [
        f"{corpus.name}: {len(store.skipped)} damaged documents are left out, first {': '.join(first)}"
        for corpus, store in zip(corpora, stores, strict=True)
        for first in list(store.skipped.items())[:1]
    ]
    return [*(note for corpus in corpora for note in corpus.notes), *damaged]


def _parts(cfg: TextDataConfig) -> dict[str, MixturePart]:
    if bool(cfg.source) == bool(cfg.mixture):
        both = "both data.source and data.mixture are" if cfg.source else "neither data.source nor data.mixture is"
        raise ValueError(f"{both} set; set one of them, for example data.source=stdlib")
    if cfg.mixture and cfg.options:
        raise ValueError("data.options belong to data.source; set data.mixture.NAME.options for a part of a mixture")
    return cfg.mixture or {"": MixturePart(cfg.source, 1.0, cfg.options)}


def _check(cfg: TextDataConfig, tokenizer: Tokenizer, length: int) -> None:
    if length < 2:
        raise ValueError(f"a row of {length} tokens has nothing to learn from; use 2 or more")
    if cfg.fim and tokenizer.fim is None:
        raise ValueError(NO_MARKS)
