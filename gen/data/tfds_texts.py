"""The texts that a feature of TFDS holds, however it is nested.

captions = texts_of(builder.info.features, "captions", "tfds:/data/coco_captions/2014/1.1.0")
captions(example)       # ("a robin", "a red bird")

Text, or a Tensor of strings        itself
ClassLabel                          the name of the label; nothing for -1, which stands for none
Sequence of these                   each
a dictionary, or a Sequence of it   the feature named as "captions/text", or the only one that is text
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from gen.messages import short

type Texts = Callable[[Any], Iterator[str]]


def texts_of(features: Any, name: str, where: str) -> Callable[[Mapping[str, Any]], tuple[str, ...]]:
    """Returns a function that takes the texts of a feature, except blank ones, out of an example of `features`.

    Raises ValueError for a feature that does not exist or holds no text.
    """
    texts = _within(features, name, name, where)
    return lambda example: tuple(text for text in texts(example) if text.strip())


def _texts(feature: Any, path: str, name: str, where: str) -> Texts:
    if isinstance(feature, tfds.features.Dataset):
        raise ValueError(f"{where}: the feature {short(name)} is a data set of its own; name one that holds text")
    if isinstance(feature, tfds.features.Sequence):
        if isinstance(feature.feature, tfds.features.FeaturesDict):
            # comes as a dictionary of lists
            key, rest = _key(feature.feature, path, name, where)
            each = _texts(feature.feature[key], rest, name, where)
            return lambda value: (text for one in value[key] for text in each(one))
        each = _texts(feature.feature, path, name, where)
        return lambda value: (text for one in value for text in each(one))
    if isinstance(feature, tfds.features.FeaturesDict):
        return _within(feature, path, name, where)
    if not path and isinstance(feature, tfds.features.ClassLabel):
        return lambda value: iter([feature.int2str(int(value))] if 0 <= value < (feature.num_classes or 0) else [])
    if not path and _is_text(feature):
        return lambda value: (_decoded(one) for one in np.ravel(np.asarray(value, object)))
    raise ValueError(f"{where}: the feature {short(name)} holds no text ({type(feature).__name__}); name one that does")


def _within(features: Any, path: str, name: str, where: str) -> Texts:
    key, rest = _key(features, path, name, where)
    texts = _texts(features[key], rest, name, where)
    return lambda value: texts(value[key])


def _key(features: Any, path: str, name: str, where: str) -> tuple[str, str]:
    """Which of `features` the path leads to, and the path from there."""
    if path:
        fits = [key for key in features if path == key or path.startswith(f"{key}/")]
        if not fits:
            listed = short(", ".join(features), 300)[1:-1]
            raise ValueError(f"{where} has no feature {short(name)}; its features are {listed}")
        key = max(fits, key=len)
        return key, path[len(key) + 1 :]
    texts = [key for key in features if _is_text(features[key])]
    if len(texts) != 1:
        listed = short(", ".join(f"{name}/{key}" for key in sorted(features)), 300)[1:-1]
        raise ValueError(f"{where}: the feature {short(name)} holds several; name one of {listed}")
    return texts[0], ""


def _is_text(feature: Any) -> bool:
    return (
        isinstance(feature, tfds.features.Tensor)
        and not isinstance(feature, tfds.features.ClassLabel)
        and feature.np_dtype in (object, np.str_, np.bytes_)
    )


def _decoded(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
