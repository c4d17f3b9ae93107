"""From the `data` section of a config of preferences to batches of ranked answers, for reward models and DPO.

T is the length of a row, K the most answers that any ranking of the split has.

    pipeline = RankingPipeline(RankingDataConfig("preferences:/data/pairs.jsonl"), tokenizer, length=512)
    pipeline.train(batch_size=16).batch(1000)

    tokens                  int32 (K, T)    the whole conversation with each answer, to its end of turn, then padding
    length                  int32 (K,)      the tokens before the padding: the place behind the answer's end
    prompt                  int32 ()        the tokens before the answer, the same for all
    rank                    int32 (K,)      0 is the best, equal ones are equally good; -1 for filling, a start alone

With `demonstrations`, every row has a conversation beside it, in a shuffled order of their own:

    demonstration_tokens    int32 (T,)      to the end of what the assistant says last, then padding
    demonstration_length    int32 ()        the tokens before the padding
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from gen import rng
from gen.bounds import Bounded, Natural
from gen.data.chat import fitting
from gen.data.conversations import KINDS as CONVERSATIONS
from gen.data.conversations import open_conversations
from gen.data.dialogue import Dialogue, dialogue, padded
from gen.data.kinds import state_rule
from gen.data.notes import merged, which_of, within
from gen.data.rankings import KINDS, Ranking, open_rankings
from gen.data.rowset import DatasetEvalLoader, DatasetLoader, EvalZip, Row, Zip
from gen.data.source import digest
from gen.tokenizers import Tokenizer
from gen.tokenizers.template import Message, Template


@dataclasses.dataclass(frozen=True)
class RankingDataConfig(Bounded):
    """`source` is a kind in gen.data.rankings, `demonstrations` nothing or a kind in gen.data.conversations; each with
    its options.

    `tokenizer` is "bytes", the path of a file, or None for the one of the model that is trained further. `seed`
    shuffles; the run's seed does not.
    """

    source: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    template: Template = Template()
    tokenizer: str | None = None
    seed: Natural = 0
    demonstrations: str = ""
    demonstration_options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        state_rule(self, KINDS)
        state_rule(self, CONVERSATIONS, "demonstrations", "demonstration_options")

    def unused(self) -> dict[str, str]:
        alone = self.demonstration_options and not self.demonstrations
        return {"demonstration_options": "there are no demonstrations; set demonstrations"} if alone else {}


class RankingPipeline:
    """The data of one run; `notes` is what a person should be told, a sentence each."""

    labels: Sequence[str] = ()

    def __init__(self, cfg: RankingDataConfig, tokenizer: Tokenizer, length: int):
        """`length` is the number of tokens in a row.

        Raises ValueError when no ranking or no demonstration of the training split fits, and for options of
        demonstrations that are not set.
        """
        if cfg.demonstration_options and not cfg.demonstrations:
            raise ValueError("data.demonstration_options is set and data.demonstrations is not; set both or neither")
        self.cfg, self.tokenizer, self.length = cfg, tokenizer, length
        self._train, self.notes, *parts = self._ranked("train")
        self._shown: Demonstrations | None = None
        if cfg.demonstrations:
            self._shown, notes, *more = self._demonstrations("train")
            self.notes, parts = self.notes + notes, parts + more
        self.fingerprint = digest("rankings", *parts, repr(cfg.template), tokenizer.fingerprint, length, cfg.seed)

    @property
    def answers(self) -> int:
        """The most answers that a ranking of the training split has."""
        return self._train.most

    def train(self, batch_size: int) -> DatasetLoader | Zip:
        ranked = DatasetLoader(self._train, batch_size, self.cfg.seed)
        return ranked if self._shown is None else Zip(ranked, self._beside(self._shown, batch_size))

    @functools.cached_property
    def _held_out(self) -> tuple["Ranked", list[str], str]:
        return self._ranked("test")

    @property
    def fingerprints(self) -> dict[str, str]:
        return {"held-out data": self._held_out[2]}

    def evaluate(self, batch_size: int) -> DatasetEvalLoader | EvalZip:
        """Each ranking of the test split once; the demonstrations beside them begin anew as often as it takes."""
        ranked, notes, _ = self._held_out
        self.notes = merged(self.notes, notes)
        once = DatasetEvalLoader(ranked, batch_size)
        if self._shown is None:
            return once
        shown, notes, _ = self._demonstrations("test")
        self.notes = merged(self.notes, notes)
        return EvalZip(once, self._beside(shown, batch_size))

    def _beside(self, shown: "Demonstrations", batch_size: int) -> DatasetLoader:
        # the same order as that of as many rankings would pair the same ones in every epoch
        return DatasetLoader(shown, batch_size, int(rng.host(self.cfg.seed, "demonstrations").integers(2**31)))

    def _ranked(self, split: str) -> tuple["Ranked", list[str], str]:
        rankings = open_rankings(self.cfg.source, split, **self.cfg.options)
        named = [(ranking.name, _encoded(ranking, self.cfg.template, self.tokenizer)) for ranking in rankings]
        room = f"the model's context of {self.length} tokens"
        size = lambda pair: max(len(answer.tokens_N) for answer in pair[1].answers)
        kept, notes = within(named, size, self.length, f"{which_of(split)}rankings", room)
        ranked = Ranked(rankings.name, [one for _, one in kept], self.tokenizer, self.length)
        return ranked, [*rankings.notes, *notes], rankings.fingerprint

    def _demonstrations(self, split: str) -> tuple["Demonstrations", list[str], str]:
        shown = open_conversations(self.cfg.demonstrations, split, **self.cfg.demonstration_options)
        dialogues, notes = fitting(shown, self.cfg.template, self.tokenizer, self.length, which_of(split))
        return Demonstrations(shown.name, dialogues, self.tokenizer, self.length), notes, shown.fingerprint


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A ranking as conversations with each of its answers."""

    answers: list[Dialogue]
    ranks: tuple[int, ...]


def _encoded(ranking: Ranking, template: Template, tokenizer: Tokenizer) -> Encoded:
    whole = ([*ranking.messages, Message("assistant", answer)] for answer in ranking.answers)
    return Encoded([dialogue(messages, template, tokenizer) for messages in whole], ranking.ranks)


class Ranked:
    """Rows of one ranking."""

    def __init__(self, name: str, rankings: list[Encoded], tokenizer: Tokenizer, length: int):
        self.name = name
        self._rankings, self._tokenizer, self._length = rankings, tokenizer, length
        self.most = max(len(one.answers) for one in rankings)

    def __len__(self) -> int:
        return len(self._rankings)

    def row(self, index: int) -> Row:
        one = self._rankings[index]
        missing = self.most - len(one.answers)
        rows = [answer.tokens_N for answer in one.answers]
        # a start, so that what reads the last of `length` tokens finds one
        rows += [np.asarray([self._tokenizer.start], np.int32)] * missing
        return {
            "tokens": np.stack([padded(row, self._length, self._tokenizer.pad) for row in rows]),
            "length": np.asarray([len(row) for row in rows], np.int32),
            "prompt": np.asarray(one.answers[0].prompt, np.int32),
            "rank": np.asarray([*one.ranks, *[-1] * missing], np.int32),
        }


class Demonstrations:
    """Rows of one conversation, as they stand beside a ranking."""

    def __init__(self, name: str, dialogues: list[Dialogue], tokenizer: Tokenizer, length: int):
        self.name = name
        self._dialogues, self._pad, self._length = dialogues, tokenizer.pad, length

    def __len__(self) -> int:
        return len(self._dialogues)

    def row(self, index: int) -> Row:
        tokens_N = self._dialogues[index].tokens_N
        return {
            "demonstration_tokens": padded(tokens_N, self._length, self._pad),
            "demonstration_length": np.asarray(len(tokens_N), np.int32),
        }
