"""A record as an example: the arrays of fixed shape that a model sees.

Y and X are the rows and columns of an image, C its channels, T the tokens of a caption.

    transform = CaptionedImage(size=64, random_crop=True, flip=True, tokenizer=tokenizer, context=32)
    transform(record, generator)        # {"image": image_YXC, "tokens": tokens_T, "length": ()}
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from gen.data import images
from gen.data.source import CorruptRecord, Record
from gen.tokenizers.base import Tokenizer, fit

type Example = dict[str, np.ndarray]
type Transform = Callable[[Record, np.random.Generator], Example]


@dataclasses.dataclass(frozen=True)
class CaptionedImage:
    """A square image and, with a tokenizer, one caption.

    image   uint8 (size, size, 3): shorter side resized to `size`, then a random or the centre square, mirrored half
            of the time with `flip`; tasks turn it into floats where the model runs
    tokens  int32 (context,): a caption drawn among those of the record, framed and padded by `tokenizers.fit`
    length  int32 (): the tokens before the padding
    and each of `labels`, int32 ()
    """

    size: int
    random_crop: bool = False
    flip: bool = False
    tokenizer: Tokenizer | None = None
    context: int = 0
    labels: tuple[str, ...] = ()

    def __call__(self, record: Record, generator: np.random.Generator) -> Example:
        """Raises CorruptRecord when the image does not decode or has no caption to draw."""
        example = {"image": self._image(record["image"], generator)}
        if self.tokenizer is not None:
            caption = self._caption(record["caption"], generator)
            tokens_T, length, _, _ = fit(self.tokenizer, caption, self.context)
            example |= {"tokens": tokens_T, "length": np.asarray(length, np.int32)}
        return example | {label: np.asarray(record[label], np.int32) for label in self.labels}

    def _image(self, image: bytes | np.ndarray, generator: np.random.Generator) -> np.ndarray:
        image_YXC = images.decode(image) if isinstance(image, bytes) else image
        image_YXC = images.resize_shorter(image_YXC, self.size)
        if self.random_crop:
            image_YXC = images.random_crop(image_YXC, self.size, generator)
        else:
            image_YXC = images.center_crop(image_YXC, self.size)
        return images.flip(image_YXC) if self.flip and generator.random() < 0.5 else image_YXC

    def _caption(self, captions: tuple[str, ...], generator: np.random.Generator) -> str:
        if not captions:
            raise CorruptRecord("it has no caption")
        return captions[generator.integers(len(captions))]
