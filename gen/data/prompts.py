"""From the `data` section of a config of reinforcement learning to batches of prompts for a model to answer.

P is the length of a prompt's row, N the most tokens of an answer.

    pipeline = PromptPipeline(PromptDataConfig("instructions"), tokenizer, length=64, new=20)
    pipeline.train(batch_size=16).batch(1000)

    tokens          int32 (P,)      all before what the assistant says last, and what the template has in front of that;
                                    then padding
    length          int32 ()        the tokens before the padding
    answer          int32 (N,)      what the assistant says, its end of turn included, then padding
    answer_length   int32 ()        the tokens before the padding; 0 where no answer is known

Training with `pretrain` has rows of text beside each prompt, as PPO-ptx mixes them (InstructGPT, arXiv 2203.02155):

    pretrain/tokens, pretrain/targets, pretrain/segments, pretrain/positions, pretrain/weights      (R, length)
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from gen.bounds import Bounded, Count, Natural
from gen.data.conversations import KINDS, PROMPTS, open_prompts
from gen.data.dialogue import Dialogue, dialogue, padded
from gen.data.kinds import state_rule
from gen.data.notes import merged, which_of, within
from gen.data.rowset import Batched, DatasetEvalLoader, DatasetLoader, Row, Zip
from gen.data.source import digest
from gen.data.text import TextDataConfig, TextPipeline
from gen.tokenizers import Tokenizer
from gen.tokenizers.template import Message, Template


@dataclasses.dataclass(frozen=True)
class PromptDataConfig(Bounded):
    """`source` is a kind of prompts in gen.data.conversations, `options` that kind's options.

    `tokenizer` is "bytes", the path of a file, or None for the one of the model that is trained further; the text of
    `pretrain`, `pretrain_rows` rows for each prompt, is read by the same, whatever it names. `seed` shuffles; the
    run's seed does not.
    """

    source: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    template: Template = Template()
    tokenizer: str | None = None
    seed: Natural = 0
    pretrain: TextDataConfig | None = None
    pretrain_rows: Count = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        state_rule(self, KINDS | PROMPTS)

    def unused(self) -> dict[str, str]:
        if self.pretrain is None:
            return {} if self.pretrain_rows == 1 else {"pretrain_rows": "there is no text; set pretrain"}
        plain = TextDataConfig()
        own = [key for key in ("eval_split", "overlap") if getattr(self.pretrain, key) != getattr(plain, key)]
        return {f"pretrain.{key}": "this text is trained on, not evaluated" for key in own}


class PromptPipeline:
    """The data of one run; `notes` is what a person should be told, a sentence each."""

    labels: Sequence[str] = ()

    def __init__(self, cfg: PromptDataConfig, tokenizer: Tokenizer, length: int, new: int):
        """`length` is the number of tokens in a row, prompt and answer together; `new` of them are for the answer.

        Raises ValueError when they leave no room for a prompt, or no conversation of the training split fits.
        """
        if not 0 < new < length:
            raise ValueError(f"{new} new tokens of a row of {length} leave no room for prompt or answer; change either")
        self.cfg, self.tokenizer, self.length, self.new = cfg, tokenizer, length, new
        self._train, self.notes, content = self._prompts("train")
        parts: list[str | int] = ["prompts", content, repr(cfg.template), tokenizer.fingerprint, length, new, cfg.seed]
        self._pretrain: TextPipeline | None = None
        if cfg.pretrain is not None:
            self._pretrain = TextPipeline(cfg.pretrain, tokenizer, length)
            self.notes = self.notes + self._pretrain.notes
            parts += [self._pretrain.fingerprint, cfg.pretrain_rows, cfg.pretrain.seed, str(cfg.pretrain.fim)]
        self.fingerprint = digest(*parts)

    def train(self, batch_size: int) -> DatasetLoader | Zip:
        prompts = DatasetLoader(self._train, batch_size, self.cfg.seed)
        if self._pretrain is None:
            return prompts
        each = self.cfg.pretrain_rows
        return Zip(prompts, Batched(self._pretrain.train(batch_size * each), batch_size, each, "pretrain"))

    @functools.cached_property
    def _held_out(self) -> tuple["Prompts", list[str], str]:
        return self._prompts("test")

    @property
    def fingerprints(self) -> dict[str, str]:
        return {"held-out data": self._held_out[2]}

    def evaluate(self, batch_size: int) -> DatasetEvalLoader:
        prompts, notes, _ = self._held_out
        self.notes = merged(self.notes, notes)
        return DatasetEvalLoader(prompts, batch_size)

    def _prompts(self, split: str) -> tuple["Prompts", list[str], str]:
        """Rows of those whose prompt and answer fit, notes about the others, and what the fingerprint is made of."""
        conversations = open_prompts(self.cfg.source, split, **self.cfg.options)
        named = [(one.name, asked(one.messages, self.cfg.template, self.tokenizer)) for one in conversations]
        which, room = which_of(split), self.length - self.new
        what = f"the {room} tokens of a row of {self.length} without the {self.new} of the answer"
        named, long_prompts = within(named, lambda pair: pair[1].prompt, room, f"{which}prompts", what)
        size = lambda pair: len(pair[1].tokens_N) - pair[1].prompt
        named, long_answers = within(named, size, self.new, f"{which}answers", f"{self.new} new tokens")
        prompts = Prompts(conversations.name, [one for _, one in named], self.tokenizer, room, self.new)
        return prompts, [*conversations.notes, *long_prompts, *long_answers], conversations.fingerprint


def asked(messages: Sequence[Message], template: Template, tokenizer: Tokenizer) -> Dialogue:
    """A conversation to its last answer; nothing is behind the prompt where the user has the last word."""
    if messages[-1].role == "assistant":
        return dialogue(messages, template, tokenizer)
    tokens_N = np.asarray(template.ask(messages, tokenizer), np.int32)
    return Dialogue(tokens_N, np.zeros(len(tokens_N), np.bool_), len(tokens_N))


class Prompts:
    """Rows of one prompt and its answer."""

    def __init__(self, name: str, dialogues: list[Dialogue], tokenizer: Tokenizer, length: int, new: int):
        self.name = name
        self._dialogues, self._pad, self._length, self._new = dialogues, tokenizer.pad, length, new

    def __len__(self) -> int:
        return len(self._dialogues)

    def row(self, index: int) -> Row:
        one = self._dialogues[index]
        asked, answer = one.tokens_N[: one.prompt], one.tokens_N[one.prompt :]
        return {
            "tokens": padded(asked, self._length, self._pad),
            "length": np.asarray(len(asked), np.int32),
            "answer": padded(answer, self._new, self._pad),
            "answer_length": np.asarray(len(answer), np.int32),
        }
