"""From the `data` section of a config to batches: sources, tokenizer, transform and loaders put together.

pipeline = Pipeline(ImageDataConfig(source="digits", resolution=16), tokenizer, context=24)
pipeline.train(batch_size=64).batch(1000)              # {"image": uint8 (64, 16, 16, 3), "tokens": (64, 24)}
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

from gen import tokenizers
from gen.bounds import Bounded, Count, Natural
from gen.config import resumable
from gen.data.catalog import KINDS, open_source
from gen.data.examples import CaptionedImage
from gen.data.kinds import state_rule
from gen.data.loader import Loader, Once
from gen.data.source import Source, sampled
from gen.tokenizers import Tokenizer


@dataclasses.dataclass(frozen=True)
class ImageDataConfig(Bounded):
    """`source` is one of the kinds in gen.data.catalog, `options` that kind's options.

    Pictures come as squares of `resolution` pixels, cropped at random or in the centre and `flip`ped half of the time
    or not. `tokenizer` is "bpe:SIZE" (trained on the captions of the training split), "bytes", the path of a
    tokenizer.json, or None for pictures without captions. `seed` shuffles; the run's seed does not.
    """

    source: str
    resolution: Count
    train_split: str = "train"
    eval_split: str = resumable("test")
    random_crop: bool = False
    flip: bool = False
    tokenizer: str | None = None
    seed: Natural = 0
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        state_rule(self, KINDS)


def make_tokenizer(cfg: ImageDataConfig) -> Tokenizer | None:
    """The tokenizer that the config names, trained if need be. Raises ValueError for one that does not exist."""
    if cfg.tokenizer is None:
        return None
    learn = lambda size: tokenizers.train(captioned(open_split(cfg, cfg.train_split)).captions(), size)
    return tokenizers.named(cfg.tokenizer, learn, example=512)


def open_split(cfg: ImageDataConfig, split: str) -> Source:
    return open_source(cfg.source, split, cfg.resolution, **cfg.options)


def captioned(source: Source) -> Source:
    """`source`. Raises ValueError where no record has a caption."""
    if next(iter(source.captions()), None) is None:
        raise ValueError(f"{source.name} has no captions, and this task reads them; write some, or use another source")
    return source


class Pipeline:
    """The data of one run."""

    labels: Sequence[str] = ()
    notes: Sequence[str] = ()

    def __init__(self, cfg: ImageDataConfig, tokenizer: Tokenizer | None, context: int | None):
        """`context` is the model's length of captions in tokens, None for a model without captions.

        Raises ValueError when the model reads captions and there is no tokenizer, or no caption.
        """
        if context is not None and tokenizer is None:
            raise ValueError("this task reads captions: set data.tokenizer, for example bpe:512")
        self.cfg, self.context = cfg, context
        self.source = open_split(cfg, cfg.train_split)
        self._plain = CaptionedImage(cfg.resolution)
        if context is not None:
            captioned(self.source)
            self._plain = dataclasses.replace(self._plain, tokenizer=tokenizer, context=context)
        self._augmented = dataclasses.replace(self._plain, random_crop=cfg.random_crop, flip=cfg.flip)

    @property
    def fingerprint(self) -> str:
        return self.source.fingerprint

    @functools.cached_property
    def held_out(self) -> Source:
        return open_split(self.cfg, self.cfg.eval_split)

    @functools.cached_property
    def fingerprints(self) -> dict[str, str]:
        """Of what is held out, and of the content of a few records, of which a source may know the sizes alone."""
        return {
            "held-out data": self.held_out.fingerprint,
            "sampled training records": sampled(self.source),
            "sampled held-out records": sampled(self.held_out),
        }

    def train(self, batch_size: int) -> Loader:
        return Loader(self.source, batch_size, self.cfg.seed, self._augmented)

    def evaluate(self, batch_size: int) -> Once:
        return Once(self.held_out, batch_size, self._plain)
