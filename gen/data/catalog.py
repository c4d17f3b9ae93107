"""One door to every data set: what a config writes as a string becomes a source.

    digits                  handwritten digits in colour            splits train, test, held_out
    photos                  crops of two photographs                splits train, test
    folder:DIR              images, with captions or without        splits train, test
    array_record:PATH       what `webdataset.convert` writes        splits train, test
    tfds:DIR                a data set that TFDS has prepared       the splits of the data set, as "train[:90%]"
    python:NAME             a sequence that Python gives (gen.data.python_data)         splits train, test

Paths are those of this machine; nothing is fetched.

    source = open_source("folder:/data/birds", "train", size=64)
"""

from gen.data.kinds import SourceKind, open_kind
from gen.data.source import FileRule, Source

# Each opener imports what it needs: nobody waits for TFDS to read a folder.


def _digits(place: str, split: str, size: int) -> Source:
    from gen.data.digits import Digits

    return Digits(split, size)


def _photos(place: str, split: str, size: int, stride: int = 8) -> Source:
    from gen.data.photos import Photos

    return Photos(split, size, stride)


def _folder(
    place: str, split: str, size: int, test_fraction: float = 0.1, caption: str = "", split_by: FileRule = "name"
) -> Source:
    from gen.data.folder import Folder

    return Folder(place, split, test_fraction, caption, split_by)


def _array_record(place: str, split: str, size: int, test_fraction: float = 0.1) -> Source:
    from gen.data.records import ArrayRecords

    return ArrayRecords(place, split, test_fraction)


def _tfds(place: str, split: str, size: int, image: str = "image", caption: str = "caption") -> Source:
    from gen.data.tfds import Tfds

    return Tfds(place, split, image, caption)


def _python(place: str, split: str, size: int) -> Source:
    from gen.data.python_data import PythonSource, find

    return PythonSource(f"python:{place}", find(place, split))


KINDS: dict[str, SourceKind[Source]] = {
    "digits": SourceKind("digits", _digits),
    "photos": SourceKind("photos", _photos),
    "folder": SourceKind("folder:DIR", _folder),
    "array_record": SourceKind("array_record:PATH", _array_record),
    "tfds": SourceKind("tfds:DIR", _tfds),
    "python": SourceKind("python:NAME", _python),
}


def open_source(spec: str, split: str, size: int, **options) -> Source:
    """The source that `spec` names, as in the table above.

    `size` is the side of the images that will be asked of it, in pixels: the built-in sets are drawn at that size;
    the others keep their files as they are, for `examples.CaptionedImage` to resize. `options` are those of the kind:
    stride (photos), test_fraction (folder, array_record), caption (folder: the name of captions in the captions file),
    split_by (folder: "name", or "spelling" in the captions file, as in version 0.1.0), image and caption (tfds: the
    names of the features).
    Raises ValueError when a kind, option or place is unknown or missing.
    """
    return open_kind(KINDS, "data set", spec, (split, size), options)
