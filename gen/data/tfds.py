"""A data set that TFDS has prepared on disk, read without TensorFlow and without the code that prepared it.

    builder.download_and_prepare(file_format="array_record")         # once, with TFDS

    Tfds("/data/coco_captions/2014/1.1.0", "train[:90%]", image="image", caption="captions")[0]

The place is the folder of one version, so that a config names one content. Images stay the encoded bytes they were.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from gen.data.records import read
from gen.data.source import Record, digest

FEATURES = "tensorflow_datasets.core.features."


class Tfds:
    """One split, in TFDS's notation, of a prepared data set; the features `image` and `caption` make the records.

    `image` is an Image; `caption` a Text, a Sequence of Texts, or a ClassLabel, whose name is then the caption.
    """

    def __init__(self, folder: str | Path, split: str, image: str, caption: str):
        """Raises ValueError when the folder holds no prepared data set, has no random access, or lacks the split or
        a feature."""
        self.name = f"tfds:{folder} ({split})"
        builder = open_builder(folder)
        self._image, self._caption = image, caption
        features = builder.info.features
        for feature in (image, caption):
            if feature not in features:
                raise ValueError(f"{self.name} has no feature {feature!r}; its features are {', '.join(features)}")
        if not isinstance(features[image], tfds.features.Image):
            raise ValueError(f"{self.name}: the feature {image!r} holds no image; name one that does")
        self._label = features[caption] if isinstance(features[caption], tfds.features.ClassLabel) else None
        self._data = builder.as_data_source(split, decoders={image: tfds.decode.SkipDecoding()})
        self.fingerprint = digest("tfds", builder.info.full_name, image, caption, *listing(builder, split))

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> Record:
        example = read(self._data, index)
        return {
            "image": example[self._image],
            "caption": self._texts(example[self._caption]),
            "name": f"example {index}",
        }

    def captions(self) -> Iterator[str]:
        return (caption for index in range(len(self)) for caption in self[index]["caption"])

    def _texts(self, value: Any) -> tuple[str, ...]:
        if self._label is not None:
            return (self._label.int2str(value),)
        texts = [value] if isinstance(value, bytes) else value
        return tuple(text.decode(errors="replace") for text in texts)


def open_builder(place: str | Path) -> tfds.core.DatasetBuilder:
    """The reader of a prepared version. Raises ValueError when the folder holds none or has no random access."""
    folder = Path(place).expanduser()
    if not (folder / "dataset_info.json").is_file() or not (folder / "features.json").is_file():
        below = ", ".join(sorted(str(info.parent) for info in folder.glob("**/dataset_info.json"))) or "none"
        raise ValueError(f"{folder} is not the folder of a version that TFDS has prepared; below it there are: {below}")
    _check_classes(json.loads((folder / "features.json").read_text()), folder)
    builder = tfds.builder_from_directory(folder)
    formats = builder.info.available_file_formats()
    if not formats & tfds.core.FileFormat.with_random_access():
        raise ValueError(
            f"{folder} is prepared as {', '.join(f.value for f in formats)}, which cannot be read at random places; "
            'prepare it again with download_and_prepare(file_format="array_record")'
        )
    return builder


def listing(builder: tfds.core.DatasetBuilder, split: str) -> list[str]:
    """The files of a split; sizes stand for contents, which would take as long to read as an epoch."""
    parts = builder.info.splits[split].file_instructions
    return [f"{Path(p.filename).name} {Path(p.filename).stat().st_size} {p.skip} {p.take}" for p in parts]


def _check_classes(content: object, folder: Path) -> None:
    """TFDS imports the classes that features.json names: refuse any that is not its own, as data must run no code."""
    if isinstance(content, list):
        for item in content:
            _check_classes(item, folder)
    elif isinstance(content, dict):
        for key, value in content.items():
            names_class = key in ("pythonClassName", "python_class_name", "type") and isinstance(value, str)
            if names_class and not value.startswith(FEATURES):
                raise ValueError(
                    f"{folder}/features.json asks for the class {value}, which is not part of TFDS; refused"
                )
            _check_classes(value, folder)
