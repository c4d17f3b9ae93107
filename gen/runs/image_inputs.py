"""Pictures with captions as the data of a run."""

import contextlib
import itertools

from gen import config
from gen.data import images
from gen.data.pipeline import ImageDataConfig, Pipeline, make_tokenizer
from gen.data.source import CorruptRecord
from gen.runs.family import Inputs
from gen.tasks.base import Task
from gen.tokenizers import Tokenizer, fit
from gen.training.config import RunConfig

FIRST = 8  # pictures that are looked at


def open_images(cfg: RunConfig, task: Task, tokenizer: Tokenizer | None) -> Pipeline:
    """The pictures of a run, with captions where the task reads them."""
    return Pipeline(cfg.data, tokenizer, context_of(task))


def context_of(task: Task) -> int | None:
    """How many tokens of a caption the task reads."""
    tokens = task.batch(1).get("tokens")
    return None if tokens is None else tokens.shape[1]


def notes(cfg: RunConfig, feed: Pipeline, tokenizer: Tokenizer | None) -> list[str]:
    """What a person should know before training, a sentence each."""
    cut = "" if feed.context is None else cut_captions(feed, tokenizer, feed.context)
    return [line for line in (enlarged(cfg, feed), cut) if line]


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
        with contextlib.suppress(CorruptRecord, OSError):
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


IMAGES = Inputs(ImageDataConfig, open_images, lambda cfg: make_tokenizer(cfg.data), notes)
