"""The data and the tokenizer of a run, as its family declares them.

tokenizer = find_tokenizer(cfg, run, upstream)
feed = open_feed(cfg, task, tokenizer)              # .train(batch_size), .evaluate(batch_size), .fingerprint
"""

from collections.abc import Mapping
from typing import Any

from gen import config
from gen.models.clip import CLIPConfig
from gen.runs import family, reader
from gen.tasks.base import Task
from gen.tokenizers import Tokenizer
from gen.tokenizers import load as load_tokenizer
from gen.training import manifest
from gen.training.config import RunConfig
from gen.training.run_dir import RunDir

type Feed = Any  # a family.Feed: pipelines of gen.data have each their own loaders


def open_feed(cfg: RunConfig, task: Task, tokenizer: Tokenizer | None) -> Feed:
    """Raises ValueError for data that is not there or does not fit the task."""
    return family.find(cfg.task.name).inputs.open(cfg, task, tokenizer)


def fingerprints(feed: Feed) -> dict[str, str]:
    """Of all data that a run reads, by name."""
    return {manifest.TRAINING: feed.fingerprint, **feed.fingerprints}


def find_tokenizer(cfg: RunConfig, run: RunDir, upstream: Mapping[str, "reader.Run"]) -> Tokenizer | None:
    """The tokenizer of a run: the one in its directory, or what a new run would have.

    A directory without a config holds no run: a tokenizer there is what a command left that failed.
    """
    path = run.path / reader.TOKENIZER
    begun = run.config_json.exists() and path.exists()
    return load_tokenizer(path) if begun else first_tokenizer(cfg, upstream)


def first_tokenizer(cfg: RunConfig, upstream: Mapping[str, "reader.Run"]) -> Tokenizer | None:
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
    return next(iter(inherited.values())) if inherited else family.find(cfg.task.name).inputs.new_tokenizer(cfg)


def ids_of(tokenizer: Tokenizer | None) -> family.Ids:
    """The ids of a tokenizer, for tasks that write texts."""
    return family.NO_TEXT if tokenizer is None else family.Ids(tokenizer.end, tokenizer.vocab_size)


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
    return family.find(cfg.task.name).inputs.notes(cfg, feed, tokenizer)
