"""Texts, conversations, rankings, prompts and labelled texts as the data of a run."""

from collections.abc import Callable, Sequence
from typing import Any

from gen.data.chat import ChatDataConfig, ChatPipeline
from gen.data.chat_tokenizer import make_chat_tokenizer
from gen.data.classes import ClassifyDataConfig, LabelledPipeline
from gen.data.preferences import RankingDataConfig, RankingPipeline
from gen.data.prompts import PromptDataConfig, PromptPipeline
from gen.data.text import TextDataConfig, TextPipeline, make_text_tokenizer
from gen.runs import batch_view
from gen.runs.family import Inputs
from gen.tasks.base import Task
from gen.tokenizers import Tokenizer
from gen.training.config import RunConfig


def opener(pipeline: Callable[..., Any]) -> Callable[[RunConfig, Task, Tokenizer | None], Any]:
    """Opens a pipeline with rows of the model's context."""

    def open_texts(cfg: RunConfig, task: Task, tokenizer: Tokenizer | None) -> Any:
        assert tokenizer is not None, "the data of text has a tokenizer"
        return pipeline(cfg.data, tokenizer, cfg.model.context)

    return open_texts


def open_rankings(cfg: RunConfig, task: Task, tokenizer: Tokenizer | None) -> RankingPipeline:
    return check_answers(cfg, opener(RankingPipeline)(cfg, task, tokenizer))


def open_prompts(cfg: RunConfig, task: Task, tokenizer: Tokenizer | None) -> PromptPipeline:
    assert tokenizer is not None, "the data of text has a tokenizer"
    return PromptPipeline(cfg.data, tokenizer, cfg.model.context, cfg.task.rollout.new)


def open_labelled(cfg: RunConfig, task: Task, tokenizer: Tokenizer | None) -> LabelledPipeline:
    feed: LabelledPipeline = opener(LabelledPipeline)(cfg, task, tokenizer)
    check_classes(cfg, feed.labels)
    return feed


def check_answers(cfg: RunConfig, feed: RankingPipeline) -> RankingPipeline:
    """Raises ValueError when rankings have another number of answers than the task is made for."""
    if feed.answers != cfg.task.answers:
        raise ValueError(
            f"task.answers={cfg.task.answers}, but the data has rankings of up to {feed.answers} answers:"
            f" set task.answers={feed.answers}"
        )
    return feed


def check_classes(cfg: RunConfig, labels: Sequence[str]) -> None:
    """Raises ValueError when the task tells apart more or fewer classes than the data has labels."""
    if cfg.task.classes != len(labels):
        listed = ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")
        raise ValueError(
            f"task.classes={cfg.task.classes}, but the data has {len(labels)} labels ({listed}): "
            f"set task.classes={len(labels)}"
        )


def notes(cfg: RunConfig, feed: Any, tokenizer: Tokenizer | None) -> list[str]:
    """What a person should know before training, a sentence each."""
    spare = cfg.model.vocab - feed.tokenizer.vocab_size
    never = [f"model.vocab={cfg.model.vocab} is {spare} more than the tokenizer's tokens; those are never met"]
    return [*feed.notes, *(never if spare else [])]


def new_chat_tokenizer(cfg: RunConfig) -> Tokenizer | None:
    """None where the data names none, as of a model that is trained further."""
    return make_chat_tokenizer(cfg.data)


TEXT = Inputs(
    TextDataConfig,
    opener(TextPipeline),
    lambda cfg: make_text_tokenizer(cfg.data),
    notes,
    lambda feed, batch, marks: batch_view.rows_of_text(batch, feed.tokenizer),
)
CHAT = Inputs(
    ChatDataConfig,
    opener(ChatPipeline),
    new_chat_tokenizer,
    notes,
    lambda feed, batch, marks: batch_view.rows_of_chat(batch, feed.tokenizer, marks),
)
RANKINGS = Inputs(
    RankingDataConfig,
    open_rankings,
    new_chat_tokenizer,
    notes,
    lambda feed, batch, marks: batch_view.rows_of_rankings(batch, feed.tokenizer),
)
PROMPTS = Inputs(
    PromptDataConfig,
    open_prompts,
    new_chat_tokenizer,
    notes,
    lambda feed, batch, marks: batch_view.rows_of_prompts(batch, feed.tokenizer),
)
LABELLED = Inputs(
    ClassifyDataConfig,
    open_labelled,
    new_chat_tokenizer,
    notes,
    lambda feed, batch, marks: batch_view.rows_of_labelled(batch, feed.tokenizer, feed.labels),
)
