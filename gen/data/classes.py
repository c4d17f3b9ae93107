"""From the `data` section of a config of classification to batches of texts and the numbers of their labels.

T is the length of a row.

    pipeline = LabelledPipeline(ClassifyDataConfig("stdlib"), tokenizer, length=256)
    pipeline.labels[3]                                      # "importlib"
    pipeline.train(batch_size=16).batch(1000)

    tokens  int32 (T,)      start, the text, end, as GPT reads what it classifies; then padding
    length  int32 ()        the tokens before the padding, so that the end stands at length - 1
    label   int32 ()        which of `labels`
"""

import dataclasses
import functools
from typing import Any

import numpy as np

from gen.bounds import Bounded, Natural
from gen.data.dialogue import padded
from gen.data.entries import InMemoryDataset
from gen.data.kinds import state_rule
from gen.data.labelled import KINDS, Labelled, labels_of, open_labelled
from gen.data.notes import merged, which_of
from gen.data.rowset import DatasetEvalLoader, DatasetLoader, Row
from gen.data.source import digest
from gen.tokenizers import Tokenizer


@dataclasses.dataclass(frozen=True)
class ClassifyDataConfig(Bounded):
    """`source` is a kind in gen.data.labelled, `options` that kind's options.

    `tokenizer` is "bytes", the path of a file, or None for the one of the model that is trained further. `seed`
    shuffles; the run's seed does not.
    """

    source: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    tokenizer: str | None = None
    seed: Natural = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        state_rule(self, KINDS)


class LabelledPipeline:
    """The data of one run; `labels` are the classes, by number; `notes` are told to a person."""

    def __init__(self, cfg: ClassifyDataConfig, tokenizer: Tokenizer, length: int):
        """`length` is the number of tokens in a row. Raises ValueError when it cannot hold start, text and end."""
        if length < 3:
            raise ValueError(f"a row of {length} tokens cannot hold start, text and end; use 3 or more")
        self.cfg, self.tokenizer, self.length = cfg, tokenizer, length
        train = open_labelled(cfg.source, "train", **cfg.options)
        self.labels = labels_of(train)
        self._train = Texts(train, self.labels, tokenizer, length)
        self.notes = self._train.notes
        self.fingerprint = digest("labelled", train.fingerprint, tokenizer.fingerprint, length, cfg.seed)

    def train(self, batch_size: int) -> DatasetLoader:
        return DatasetLoader(self._train, batch_size, self.cfg.seed)

    @functools.cached_property
    def held_out(self) -> InMemoryDataset[Labelled]:
        return open_labelled(self.cfg.source, "test", **self.cfg.options)

    @property
    def fingerprints(self) -> dict[str, str]:
        return {"held-out data": self.held_out.fingerprint}

    def evaluate(self, batch_size: int) -> DatasetEvalLoader:
        texts = Texts(self.held_out, self.labels, self.tokenizer, self.length, which_of("test"))
        self.notes = merged(self.notes, texts.notes)
        return DatasetEvalLoader(texts, batch_size)


class Texts:
    """Rows of one text."""

    def __init__(
        self,
        texts: InMemoryDataset[Labelled],
        labels: tuple[str, ...],
        tokenizer: Tokenizer,
        length: int,
        which: str = "",
    ):
        self.name = texts.name
        numbers = {label: number for number, label in enumerate(labels)}
        self._labels = [numbers[text.label] for text in texts]
        self._tokens = tokenizer.encode_batch([text.text for text in texts])
        self._tokenizer, self._length = tokenizer, length
        # what a person should be told, a sentence each
        self.notes = list(texts.notes)
        if cut := [i for i, tokens in enumerate(self._tokens) if len(tokens) > length - 2]:
            number = f"{len(cut)} of {len(texts)} {which}texts {'is' if len(cut) == 1 else 'are'}"
            first = f"the first {texts[cut[0]].name} with {len(self._tokens[cut[0]]) + 2}"
            self.notes += [f"{number} longer than the model's context of {length} tokens and cut at the end, {first}"]

    def __len__(self) -> int:
        return len(self._labels)

    def row(self, index: int) -> Row:
        kept = self._tokens[index][: self._length - 2]
        tokens = np.asarray([self._tokenizer.start, *kept, self._tokenizer.end], np.int32)
        return {
            "tokens": padded(tokens, self._length, self._tokenizer.pad),
            "length": np.asarray(len(tokens), np.int32),
            "label": np.asarray(self._labels[index], np.int32),
        }
