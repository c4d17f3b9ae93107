"""The data of a run as its task reads it: pictures with captions or text, its tokenizer, and how samples are shown.

tokenizer = find_tokenizer(cfg, run, upstream)
feed = open_feed(cfg, task, tokenizer)              # .train(batch_size), .evaluate(batch_size), .fingerprint
"""

import contextlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gen import config
from gen.data import images
from gen.data.chat import ChatConfig, ChatPipeline
from gen.data.chat_tokenizer import make_chat_tokenizer
from gen.data.classes import LabelledConfig, LabelledPipeline
from gen.data.pipeline import DataConfig, Pipeline, make_tokenizer
from gen.data.preferences import RankingConfig, RankingPipeline
from gen.data.prompts import PromptConfig, PromptPipeline
from gen.data.source import Damaged
from gen.data.text import TextConfig, TextPipeline, make_text_tokenizer
from gen.models.clip import CLIPConfig
from gen.sample import png
from gen.tasks.base import Task
from gen.tokenizers import Tokenizer, fit
from gen.tokenizers import load as load_tokenizer
from gen.train import files, manifest
from gen.train.config import RunConfig
from gen.train.run_dir import RunDir
from launch import catalog, trained

FIRST = 8  # pictures that are looked at
RECORD = "---- record "  # begins the last line of a file of texts

type Feed = Pipeline | TextPipeline | ChatPipeline | RankingPipeline | PromptPipeline | LabelledPipeline


def open_feed(cfg: RunConfig, task: Task, tokenizer: Tokenizer | None) -> Feed:
    """Raises ValueError for data that is not there or does not fit the task."""
    if isinstance(cfg.data, DataConfig):
        return Pipeline(cfg.data, tokenizer, context_of(task))
    assert tokenizer is not None, "the data of text has a tokenizer"
    match cfg.data:
        case TextConfig():
            return TextPipeline(cfg.data, tokenizer, cfg.model.context)
        case ChatConfig():
            return ChatPipeline(cfg.data, tokenizer, cfg.model.context)
        case RankingConfig():
            return check_answers(cfg, RankingPipeline(cfg.data, tokenizer, cfg.model.context))
        case PromptConfig():
            return PromptPipeline(cfg.data, tokenizer, cfg.model.context, cfg.task.rollout.new)
        case LabelledConfig():
            labelled = LabelledPipeline(cfg.data, tokenizer, cfg.model.context)
            check_classes(cfg, labelled.labels)
            return labelled
    raise AssertionError(f"no data of {type(cfg.data).__name__}")


def fingerprints(feed: Feed) -> dict[str, str]:
    """Of all data that a run reads, by name."""
    return {manifest.TRAINING: feed.fingerprint, **feed.fingerprints}


def check_answers(cfg: RunConfig, feed: RankingPipeline) -> RankingPipeline:
    """Raises ValueError when rankings have another number of answers than the task is made for."""
    if feed.answers != cfg.task.answers:
        raise ValueError(
            f"task.answers={cfg.task.answers}, but the data has rankings of up to {feed.answers} answers:"
            f" set task.answers={feed.answers}"
        )
    return feed


def context_of(task: Task) -> int | None:
    """How many tokens of a caption the task reads."""
    tokens = task.batch(1).get("tokens")
    return None if tokens is None else tokens.shape[1]


def new_tokenizer(cfg: RunConfig) -> Tokenizer | None:
    """As the config says, trained if need be; None where it names none."""
    match cfg.data:
        case TextConfig():
            return make_text_tokenizer(cfg.data)
        case DataConfig():
            return make_tokenizer(cfg.data)
    return make_chat_tokenizer(cfg.data)


def find_tokenizer(cfg: RunConfig, run: RunDir, upstream: Mapping[str, "trained.Run"]) -> Tokenizer | None:
    """The tokenizer of a run: the one in its directory, or what a new run would have.

    A directory without a config holds no run: a tokenizer there is what a command left that failed.
    """
    path = run.path / trained.TOKENIZER
    begun = run.config_json.exists() and path.exists()
    return load_tokenizer(path) if begun else first_tokenizer(cfg, upstream)


def first_tokenizer(cfg: RunConfig, upstream: Mapping[str, "trained.Run"]) -> Tokenizer | None:
    """The tokenizer of a new run: that of its upstream runs, or as the config says, trained if need be.

    Raises ValueError when the upstream runs have different ones.
    """
    inherited = {name: other.tokenizer() for name, other in upstream.items() if other.reads_text}
    for name, tokenizer in inherited.items():
        first = next(iter(inherited))
        if tokenizer.fingerprint != inherited[first].fingerprint:
            raise ValueError(
                f"upstream.{name}={cfg.upstream[name]} has another tokenizer than upstream.{first}"
                f"={cfg.upstream[first]}: what one writes the other cannot read; train one on the other's"
            )
    return next(iter(inherited.values())) if inherited else new_tokenizer(cfg)


def ids_of(tokenizer: Tokenizer | None) -> catalog.Ids:
    """The ids of a tokenizer, for tasks that write texts."""
    return catalog.NO_TEXT if tokenizer is None else catalog.Ids(tokenizer.end, tokenizer.vocab_size)


def check_classes(cfg: RunConfig, labels: Sequence[str]) -> None:
    """Raises ValueError when the task tells apart more or fewer classes than the data has labels."""
    if cfg.task.classes != len(labels):
        listed = ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")
        raise ValueError(
            f"task.classes={cfg.task.classes}, but the data has {len(labels)} labels ({listed}): "
            f"set task.classes={len(labels)}"
        )


def check_vocabulary(cfg: RunConfig, tokenizer: Tokenizer | None) -> None:
    """Raises ValueError when the tokenizer has ids that the model has no embedding for, or ends texts otherwise."""
    sizes = {key: size for key, size in config.flatten(config.to_dict(cfg.model)).items() if key.endswith("vocab")}
    for key, size in sizes.items():
        if tokenizer is not None and size is not None and tokenizer.vocab_size > size:
            raise ValueError(f"model.{key}={size} is less than the tokenizer's {tokenizer.vocab_size} tokens; raise it")
    if tokenizer is not None and isinstance(cfg.model, CLIPConfig):
        end = tokenizer.vocab_size - 1 if cfg.model.text.end is None else cfg.model.text.end
        if tokenizer.end != end:
            raise ValueError(f"the tokenizer ends a text with id {tokenizer.end}; set model.text.end={tokenizer.end}")


def notes(cfg: RunConfig, feed: Feed, tokenizer: Tokenizer | None) -> list[str]:
    """What a person should know before training, a sentence each."""
    if isinstance(feed, Pipeline):
        cut = "" if feed.context is None else cut_captions(feed, tokenizer, feed.context)
        return [line for line in (enlarged(cfg, feed), cut) if line]
    spare = cfg.model.vocab - feed.tokenizer.vocab_size
    never = [f"model.vocab={cfg.model.vocab} is {spare} more than the tokenizer's tokens; those are never met"]
    return [*feed.notes, *(never if spare else [])]


def enlarged(cfg: RunConfig, pipeline: Pipeline) -> str:
    """Says of pictures that are smaller than the model reads that they are enlarged; "" where none is."""
    sizes = {key: size for key, size in config.flatten(config.to_dict(cfg.model)).items() if key.endswith("resolution")}
    for key, size in sizes.items():
        if pipeline.cfg.resolution < size:
            return (
                f"data.resolution={pipeline.cfg.resolution} is smaller than model.{key}={size}: pictures are enlarged"
                " before the model reads them, and show it nothing of their own size"
            )
    return small_pictures(pipeline)


def small_pictures(pipeline: Pipeline) -> str:
    """The same of the pictures themselves, judged by the first ones."""
    size, found = pipeline.cfg.resolution, []
    for index in range(min(FIRST, len(pipeline.source))):
        with contextlib.suppress(Damaged, OSError):
            record = pipeline.source[index]
            image = record["image"]
            rows, columns = (images.decode(image) if isinstance(image, bytes) else image).shape[:2]
            if min(rows, columns) < size:
                found.append(f"{record['name']} of {columns} x {rows} pixels")
    if not found:
        return ""
    return f"{len(found)} of the first pictures are smaller than data.resolution={size} and are enlarged, as {found[0]}"


def cut_captions(pipeline: Pipeline, tokenizer: Tokenizer | None, context: int) -> str:
    """What a person should know of captions that do not fit, judged by the first thousand; "" if all do."""
    assert tokenizer is not None, "a pipeline with captions has refused to go without one"
    captions = list(itertools.islice(pipeline.source.captions(), 1000))
    cut = [caption for caption in captions if fit(tokenizer, caption, context).cut]
    if not cut:
        return ""
    share = len(cut) / len(captions)
    return f"{share:.0%} of the captions are longer than the model's {context} tokens and are cut, as {cut[0]!r}"


def shower(
    folder: Path, tokenizer: Tokenizer | None, record: Mapping[str, Any]
) -> Callable[[int, Mapping[str, np.ndarray], Mapping[str, str]], str]:
    """Writes samples of a step, a grid of pictures or a file of texts, and says where; process 0 does, for all. They
    carry `record`, and the digests of the weights that made them."""

    def show(step: int, samples: Mapping[str, np.ndarray], weights: Mapping[str, str]) -> str:
        said = {"kind": "evaluation", "step": step, "weights": dict(weights), **record}
        if jax.process_index() != 0:
            return ""
        if "text" not in samples:
            if not all(np.isfinite(x).all() for x in samples.values()):
                # whether the run goes on is for its losses to say
                return f"no pictures of step {step}, as they hold NaN or infinite values"
            path = files.make_folder(folder) / f"{step:08d}.png"
            with files.replacing(path) as partial:
                png.write_pixels(partial, png.comparison(samples), said)
            return f"pictures ({', '.join(samples)}, row by row): {path}"
        assert tokenizer is not None
        path = files.make_folder(folder) / f"{step:08d}.txt"
        files.write_text(path, f"{listed(samples['text'], tokenizer)}{RECORD}{json.dumps(said)}\n")
        return str(path)

    return show


def listed(tokens_NT: np.ndarray, tokenizer: Tokenizer) -> str:
    """Texts of one evaluation, one below the other."""
    return "".join(f"---- {i}\n{tokenizer.decode(tokens_T)}\n" for i, tokens_T in enumerate(tokens_NT))
