"""From the `data` section of a config of fine-tuning to batches of conversations, whole ones packed into rows.

T is the length of a row. Only what the assistant says counts, as in InstructGPT's first step (arXiv 2203.02155).

    pipeline = ChatPipeline(ChatDataConfig("chat:/data/chats.jsonl"), tokenizer, length=512)
    pipeline.train(batch_size=16).batch(1000)

    tokens     int32 (T,)     conversations one behind the other, then padding
    targets    int32 (T,)     the token one further on in the same conversation; padding at its last
    segments   int32 (T,)     1, 2, ...: which conversation of the row; 0 for padding
    positions  int32 (T,)     from 0 in each conversation
    weights    float32 (T,)   1 where the target is the assistant's own, its end of turn included, otherwise 0

A row of evaluation holds one conversation, and besides

    prompt     int32 ()       how many tokens come before what the assistant says last
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from gen import rng
from gen.bounds import Bounded, Natural
from gen.data.conversations import KINDS, ChatRecord, open_conversations
from gen.data.dialogue import Dialogue, dialogue, padded
from gen.data.entries import InMemoryDataset
from gen.data.kinds import state_rule
from gen.data.notes import merged, which_of, within
from gen.data.rowset import DatasetEvalLoader, DatasetLoader, Row
from gen.data.source import digest
from gen.tokenizers import Tokenizer
from gen.tokenizers.template import Template


@dataclasses.dataclass(frozen=True)
class ChatDataConfig(Bounded):
    """`source` is a kind in gen.data.conversations, `options` that kind's options.

    `tokenizer` is "bytes", the path of a file, or None for the one of the model that is trained further. `seed` packs
    and shuffles; the run's seed does not.
    """

    source: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    template: Template = Template()
    tokenizer: str | None = None
    seed: Natural = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        state_rule(self, KINDS)


class ChatPipeline:
    """The data of one run; `notes` is what a person should be told, a sentence each."""

    labels: Sequence[str] = ()

    def __init__(self, cfg: ChatDataConfig, tokenizer: Tokenizer, length: int):
        """`length` is the number of tokens in a row.

        Raises ValueError when no conversation of the training split fits.
        """
        self.cfg, self.tokenizer, self.length = cfg, tokenizer, length
        train = open_conversations(cfg.source, "train", **cfg.options)
        dialogues, self.notes = fitting(train, cfg.template, tokenizer, length)
        self._train = Packed(train.name, packed(dialogues, length, cfg.seed), tokenizer, length)
        self.fingerprint = digest(
            "chat", train.fingerprint, repr(cfg.template), tokenizer.fingerprint, length, cfg.seed
        )

    def train(self, batch_size: int) -> DatasetLoader:
        return DatasetLoader(self._train, batch_size, self.cfg.seed)

    @functools.cached_property
    def held_out(self) -> InMemoryDataset[ChatRecord]:
        return open_conversations(self.cfg.source, "test", **self.cfg.options)

    @property
    def fingerprints(self) -> dict[str, str]:
        return {"held-out data": self.held_out.fingerprint}

    def evaluate(self, batch_size: int) -> DatasetEvalLoader:
        test = self.held_out
        dialogues, notes = fitting(test, self.cfg.template, self.tokenizer, self.length, which_of("test"))
        self.notes = merged(self.notes, notes)
        return DatasetEvalLoader(Single(test.name, dialogues, self.tokenizer, self.length), batch_size)


def fitting(
    conversations: InMemoryDataset[ChatRecord], template: Template, tokenizer: Tokenizer, length: int, which: str = ""
) -> tuple[list[Dialogue], list[str]]:
    """The conversations of at most `length` tokens, and a note about the others."""
    named = [(one.name, dialogue(one.messages, template, tokenizer)) for one in conversations]
    room = f"the model's context of {length} tokens"
    kept, notes = within(named, lambda pair: len(pair[1].tokens_N), length, f"{which}conversations", room)
    return [one for _, one in kept], [*conversations.notes, *notes]


def packed(dialogues: list[Dialogue], length: int, seed: int) -> list[list[Dialogue]]:
    """The dialogues in a shuffled order, as many to a row as come before the first that does not fit; none is cut."""
    rows: list[list[Dialogue]] = []
    room = 0
    for i in rng.host(seed, "pack").permutation(len(dialogues)).tolist():
        size = len(dialogues[i].tokens_N)
        if size > room:
            rows.append([])
            room = length
        rows[-1].append(dialogues[i])
        room -= size
    return rows


class Packed:
    """Rows of several conversations."""

    def __init__(self, name: str, rows: list[list[Dialogue]], tokenizer: Tokenizer, length: int):
        self.name = name
        self._rows, self._pad, self._length = rows, tokenizer.pad, length

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, index: int) -> Row:
        return framed(self._rows[index], self._length, self._pad)


class Single:
    """Rows of one conversation, with `prompt`."""

    def __init__(self, name: str, dialogues: list[Dialogue], tokenizer: Tokenizer, length: int):
        self.name = name
        self._dialogues, self._pad, self._length = dialogues, tokenizer.pad, length

    def __len__(self) -> int:
        return len(self._dialogues)

    def row(self, index: int) -> Row:
        one = self._dialogues[index]
        return framed([one], self._length, self._pad) | {"prompt": np.asarray(one.prompt, np.int32)}


def framed(dialogues: list[Dialogue], length: int, pad: int) -> Row:
    """The arrays of a row of T tokens, which the dialogues fit in."""
    sizes = [len(one.tokens_N) for one in dialogues]
    numbers = np.repeat(np.arange(1, len(sizes) + 1, dtype=np.int32), sizes)
    places = np.concatenate([np.arange(size, dtype=np.int32) for size in sizes])
    targets = np.concatenate([np.append(one.tokens_N[1:], np.int32(pad)) for one in dialogues])
    weights = np.concatenate([np.append(one.counts_N[1:], False) for one in dialogues]).astype(np.float32)
    return {
        "tokens": padded(np.concatenate([one.tokens_N for one in dialogues]), length, pad),
        "targets": padded(targets, length, pad),
        "segments": padded(numbers, length, 0),
        "positions": padded(places, length, 0),
        "weights": np.pad(weights, (0, length - sum(sizes))),
    }
