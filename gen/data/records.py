"""Captioned images in ArrayRecord files: one file that is read at random places, for sets too large for a folder.

Each record is a JSON header, framed by its length, and the image's bytes as they were; nothing in it is executed:

    4 bytes     length of the header, little-endian
    header      {"name": "000017", "caption": ["a robin"], "format": 2} in UTF-8
    the rest    the image, as JPEG, PNG or WebP

A hash of its name puts a record into the train or the test split, whatever file it is in and whatever others there are.
The last record of a file lists the hashes of all (shards), so that a set opens without reading its records. Files of
version 0.1.0 have no format and no list; their records are split by their numbers, as they were.

    write("birds.array_record", records)
    ArrayRecords("birds.array_record", "train", test_fraction=0.1)[0]
"""

import json
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter
from grain.sources import ArrayRecordDataSource, RandomAccessDataSource

from gen import jsonfile
from gen.data import shards
from gen.data.source import CorruptRecord, Record, chosen, digest, mark
from gen.messages import short

FORMAT = 2


class Header(TypedDict):
    """The header in front of the bytes of an image."""

    name: str
    caption: list[str]
    format: NotRequired[int]


def encode(record: Record) -> bytes:
    """A record with "name", "caption" (texts) and "image" (encoded bytes) as bytes."""
    about = {"name": record["name"], "caption": list(record["caption"]), "format": FORMAT}
    header = json.dumps(about, ensure_ascii=False).encode()
    return struct.pack("<I", len(header)) + header + record["image"]


def decode(content: bytes) -> Record:
    """The inverse of `encode`. Raises CorruptRecord for bytes that it did not write."""
    header, end = parse(content)
    return {"image": content[end:], "caption": tuple(header["caption"]), "name": header["name"]}


def parse(content: bytes) -> tuple[Header, int]:
    """The header of a record, and where the image begins. Raises CorruptRecord."""
    try:
        (length,) = struct.unpack_from("<I", content)
        return jsonfile.parse(content[4 : 4 + length], Header, "the header"), 4 + length
    except (struct.error, jsonfile.NotReadable) as error:
        raise CorruptRecord(f"not a captioned image as gen writes them: {error}") from error


def write(path: str | Path, records: Iterable[Record]) -> int:
    """Writes an ArrayRecord file and returns the number of records; `path` appears only when all are written."""
    path, marks = Path(path), []
    unfinished = path.with_name(f"{path.name}.unfinished")
    try:
        writer = ArrayRecordWriter(str(unfinished), "group_size:1")  # one record per chunk: reading one decodes one
        try:
            for record in records:
                writer.write(encode(record))
                marks.append(mark(record["name"]))
            writer.write(shards.listing(marks))
        finally:
            writer.close()
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except RuntimeError as error:  # the writer's, of a full disk
        raise OSError(f"cannot write {unfinished}: {error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return len(marks)


def read(data: RandomAccessDataSource, index: int) -> Any:
    """data[index] of ArrayRecord files. Raises CorruptRecord when a checksum does not fit, otherwise OSError."""
    try:
        return data[index]
    except RuntimeError as error:
        if "Corrupted" in str(error):
            raise CorruptRecord(short(str(error))[1:-1]) from error
        raise OSError(str(error)) from error


class ArrayRecords:
    """The records of one split of an ArrayRecord file, or of all those in a folder, in the order of their names."""

    def __init__(self, path: str | Path, split: str, test_fraction: float):
        """Raises ValueError when there is no such file or the split holds nothing."""
        self.name = f"array_record:{path} ({split})"
        place = Path(path).expanduser()
        files = sorted(place.glob("*.array_record")) if place.is_dir() else [place]
        if not files or not all(file.is_file() for file in files):
            raise ValueError(f"there is no ArrayRecord file at {path}; expected a file, or a folder of *.array_record")
        opened = shards.opened(files)
        self._records = ArrayRecordDataSource(opened)
        self._chosen_N = chosen(_split_marks(opened), split, test_fraction, f"array_record:{path}")
        # Sizes stand for contents, which would take as long to read as an epoch; where names are listed, so do these.
        about = (f"{file.name} {file.stat().st_size}{one.digest}" for file, one in zip(files, opened, strict=True))
        self.fingerprint = digest("array_record", split, str(test_fraction), len(self._records), *about)

    def __len__(self) -> int:
        return len(self._chosen_N)

    def __getitem__(self, index: int) -> Record:
        return decode(read(self._records, int(self._chosen_N[index])))

    def captions(self) -> Iterator[str]:
        for i in range(len(self)):
            try:
                yield from self[i]["caption"]
            except CorruptRecord:
                continue  # the loader will meet it, replace it and report it


def _split_marks(opened: Iterable[shards.Shard]) -> np.ndarray:
    """The split key of each record: its name, or in files of version 0.1.0 its number among those."""
    marks, before = [np.zeros(0, np.uint64)], 0
    for shard in opened:
        if shard.marks_N is not None:
            marks.append(shard.marks_N)
        else:
            numbers = range(before, before := before + shard.take)
            marks.append(np.fromiter((mark(str(i)) for i in numbers), np.uint64))
    return np.concatenate(marks)
