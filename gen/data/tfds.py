"""A data set that TFDS has prepared on disk, read without TensorFlow and without the code that prepared it.

    builder.download_and_prepare(file_format="array_record")         # once, with TFDS

    Tfds("/data/coco_captions/2014/1.1.0", "train[:90%]", image="image", caption="captions")[0]

The place is the folder of one version, so that a config names one content. Images stay the encoded bytes they were.
All that TFDS raises on files that are not as it wrote them is turned into sentences here.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from gen import jsonfile
from gen.data import shards
from gen.data.records import read
from gen.data.source import CorruptRecord, Record, digest
from gen.data.tfds_texts import texts_of
from gen.messages import short

FEATURES = "tensorflow_datasets.core.features."
AGAIN = "restore it from a copy, or prepare the data set again"


class Tfds:
    """One split, in TFDS's notation, of a prepared data set; the features `image` and `caption` make the records.

    `image` is an Image; `caption` is text, or holds some (`texts_of`), or is a label, whose name is then the caption.
    """

    def __init__(self, folder: str | Path, split: str, image: str, caption: str):
        """Raises ValueError when the folder holds no prepared data set, has no random access, or lacks the split or
        a feature, or the split holds nothing."""
        self.name = f"tfds:{folder} ({split})"
        builder = open_builder(folder)
        self._image = image
        features = builder.info.features
        if image not in features:
            raise ValueError(f"{self.name} has no feature {short(image)}; its features are {', '.join(features)}")
        if not isinstance(features[image], tfds.features.Image):
            raise ValueError(f"{self.name}: the feature {short(image)} holds no image; name one that does")
        self._texts = texts_of(features, caption, self.name)
        self._data, listing = open_split(builder, split, self.name)
        self.fingerprint = digest("tfds", builder.info.full_name, image, caption, *listing)

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, index: int) -> Record:
        example = read_example(self._data, index)
        try:
            captions = self._texts(example)
            content = example[self._image]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptRecord(f"it is not as features.json says: {short(str(error))}") from error
        return {"image": content, "caption": captions, "name": f"example {index}"}

    def captions(self) -> Iterator[str]:
        for index in range(len(self)):
            try:
                yield from self._texts(read_example(self._data, index))
            except CorruptRecord:
                continue  # the loader will meet it, replace it and report it


def open_builder(place: str | Path) -> tfds.core.DatasetBuilder:
    """The reader of a prepared version. Raises ValueError when the folder holds none or has no random access."""
    folder = Path(place).expanduser()
    if not (folder / "dataset_info.json").is_file() or not (folder / "features.json").is_file():
        below = ", ".join(sorted(str(info.parent) for info in folder.glob("**/dataset_info.json"))) or "none"
        raise ValueError(f"{folder} is not the folder of a version that TFDS has prepared; below it there are: {below}")
    _check_classes(jsonfile.read(folder / "features.json", advice=AGAIN), folder)
    jsonfile.read(folder / "dataset_info.json", advice=AGAIN)
    try:
        builder = tfds.builder_from_directory(folder)
        formats = builder.info.available_file_formats()
        dict(builder.info.features)
    except OSError:
        raise
    except Exception as error:  # TFDS raises almost anything on a file that it did not write
        raise ValueError(f"{folder} cannot be read by TFDS: {_words(error)}; {AGAIN}") from error
    if not formats & tfds.core.FileFormat.with_random_access():
        raise ValueError(
            f"{folder} is prepared as {', '.join(f.value for f in formats)}, which cannot be read at random places; "
            'prepare it again with download_and_prepare(file_format="array_record")'
        )
    return builder


def open_split(builder: tfds.core.DatasetBuilder, split: str, name: str) -> tuple[Sequence[Any], list[str]]:
    """The examples of a split, with pictures as encoded bytes, and its files, for fingerprints.

    Sizes stand for contents, which would take as long to read as an epoch. Raises ValueError for a split that does not
    exist or holds nothing and for files that are not whole, OSError for those that are away.
    """
    known = short(", ".join(map(str, builder.info.splits)), 300)[1:-1] or "none"
    try:
        parts = builder.info.splits[split].file_instructions
        sizes = [Path(part.filename).stat().st_size for part in parts]
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{name}: there is no such split ({_words(error)}); its splits are {known}") from error
    if not parts or any(part.skip < 0 or part.take < 1 for part in parts):  # as of train[5:2]
        raise ValueError(f"{name} holds no examples; choose a larger part of {known}")
    if builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD:
        shards.check({str(part.filename): part.skip + part.take for part in parts})
    pairs = zip(parts, sizes, strict=True)
    listing = [f"{Path(part.filename).name} {size} {part.skip} {part.take}" for part, size in pairs]
    features = builder.info.features
    whole = {key: tfds.decode.SkipDecoding() for key in features if isinstance(features[key], tfds.features.Image)}
    try:
        return builder.as_data_source(split, decoders=whole), listing
    except OSError:
        raise
    except Exception as error:
        raise ValueError(f"{name} cannot be opened by TFDS: {_words(error)}; {AGAIN}") from error


def read_example(data: Sequence[Any], index: int) -> Any:
    """data[index] of what `open_split` gives. Raises CorruptRecord when TFDS cannot make an example of the bytes,
    OSError when it cannot read them."""
    try:
        return read(data, index)
    except (CorruptRecord, OSError):
        raise
    except Exception as error:
        raise CorruptRecord(f"TFDS makes no example of it: {_words(error)}") from error


def _words(error: Exception) -> str:
    return short(str(error).split("\n")[0])[1:-1] or type(error).__name__


def _check_classes(content: object, folder: Path) -> None:
    """TFDS imports the classes that features.json names: refuse any that is not its own, as data must run no code."""
    if isinstance(content, list):
        for item in content:
            _check_classes(item, folder)
    elif isinstance(content, dict):
        for key, value in content.items():
            names_class = key in ("pythonClassName", "python_class_name", "type") and isinstance(value, str)
            if names_class and not value.startswith(FEATURES):
                asked = short(value)[1:-1]
                raise ValueError(
                    f"{folder}/features.json asks for the class {asked}, which is not part of TFDS; refused"
                )
            _check_classes(value, folder)
