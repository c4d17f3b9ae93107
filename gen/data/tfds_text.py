"""Texts of a data set that TFDS has prepared on disk, read without TensorFlow (see tfds.py).

TfdsText("/data/wiki40b/en/1.3.0", "train[:90%]", text="text")
"""

from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds

from gen.data.corpus import Document
from gen.data.source import CorruptRecord, digest
from gen.data.tfds import open_builder, open_split, read_example
from gen.messages import short


class TfdsText:
    """One split, in TFDS's notation; the feature `text`, a Text, makes the documents."""

    def __init__(self, folder: str | Path, split: str, text: str):
        """Raises ValueError when the folder holds no prepared data set, has no random access, or lacks the split or
        the feature."""
        self.name = f"tfds:{folder} ({split})"
        self.skipped: dict[str, str] = {}
        self.notes: list[str] = []
        builder = open_builder(folder)
        features = builder.info.features
        if text not in features:
            raise ValueError(f"{self.name} has no feature {short(text)}; its features are {', '.join(features)}")
        if not isinstance(features[text], tfds.features.Text):
            raise ValueError(f"{self.name}: the feature {short(text)} holds no text; name one that does")
        self._text = text
        self._data, listing = open_split(builder, split, self.name)
        self.fingerprint = digest("tfds text", builder.info.full_name, text, *listing)

    def __len__(self) -> int:
        return len(self._data)

    def documents(self) -> Iterator[Document]:
        for index in range(len(self)):
            try:
                yield Document(f"example {index}", read_example(self._data, index)[self._text].decode())
            except (CorruptRecord, UnicodeDecodeError) as damage:
                self.skipped[f"example {index}"] = str(damage)
