"""Captioned images in ArrayRecord files: one file that is read at random places, for sets too large for a folder.

Each record is a JSON header, framed by its length, and the image's bytes as they were; nothing in it is executed:

    4 bytes     length of the header, little-endian
    header      {"name": "000017", "caption": ["a robin"]} in UTF-8
    the rest    the image, as JPEG, PNG or WebP

    write("birds.array_record", records)
    ArrayRecords("birds.array_record", "train", test_fraction=0.1)[0]
"""

import json
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from array_record.python.array_record_module import ArrayRecordWriter
from grain.sources import ArrayRecordDataSource, RandomAccessDataSource

from gen.data.source import Damaged, Record, digest, train_or_test


def encode(record: Record) -> bytes:
    """A record with "name", "caption" (texts) and "image" (encoded bytes) as bytes."""
    header = json.dumps({"name": record["name"], "caption": list(record["caption"])}, ensure_ascii=False).encode()
    return struct.pack("<I", len(header)) + header + record["image"]


def decode(content: bytes) -> Record:
    """The inverse of `encode`. Raises Damaged for bytes that it did not write."""
    try:
        (length,) = struct.unpack_from("<I", content)
        header = json.loads(content[4 : 4 + length])
        name, captions = header["name"], header["caption"]
        if not isinstance(name, str) or not all(isinstance(caption, str) for caption in captions):
            raise TypeError("texts expected")
    except (struct.error, ValueError, TypeError, KeyError) as error:
        raise Damaged(f"not a captioned image as gen writes them: {error}") from error
    return {"image": content[4 + length :], "caption": tuple(captions), "name": name}


def write(path: str | Path, records: Iterable[Record]) -> int:
    """Writes an ArrayRecord file and returns the number of records; `path` appears only when all are written."""
    path, count = Path(path), 0
    unfinished = path.with_name(f"{path.name}.unfinished")
    writer = ArrayRecordWriter(str(unfinished), "group_size:1")  # one record per chunk: reading one decodes one
    try:
        for record in records:
            writer.write(encode(record))
            count += 1
    finally:
        writer.close()
    os.replace(unfinished, path)
    return count


def _open(files: list[Path]) -> ArrayRecordDataSource:
    try:
        return ArrayRecordDataSource([str(file) for file in files])
    except RuntimeError as error:
        raise ValueError(f"{', '.join(map(str, files))}: not whole ArrayRecord files: {error}") from error


def read(data: RandomAccessDataSource, index: int) -> Any:
    """data[index] of ArrayRecord files, whose every fault is a RuntimeError: Damaged when a checksum does not fit,
    otherwise OSError."""
    try:
        return data[index]
    except RuntimeError as error:
        if "Corrupted" in str(error):
            raise Damaged(str(error)) from error
        raise OSError(str(error)) from error


class ArrayRecords:
    """The records of one split of an ArrayRecord file, or of all those in a folder, in the order of their names.

    A hash of its number puts a record into the train or the test split.
    """

    def __init__(self, path: str | Path, split: str, test_fraction: float):
        """Raises ValueError when there is no such file or the split holds nothing."""
        self.name = f"array_record:{path} ({split})"
        files = sorted(Path(path).glob("*.array_record")) if Path(path).is_dir() else [Path(path)]
        if not files or not all(file.is_file() for file in files):
            raise ValueError(f"there is no ArrayRecord file at {path}; expected a file, or a folder of *.array_record")
        self._records = _open(files)
        numbers = [str(i) for i in range(len(self._records))]
        self._chosen = train_or_test(numbers, split, test_fraction, f"array_record:{path}")
        # Sizes stand for contents, which would take as long to read as an epoch.
        listing = (f"{file.name} {file.stat().st_size}" for file in files)
        self.fingerprint = digest("array_record", split, str(test_fraction), len(self._records), *listing)

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Record:
        return decode(read(self._records, self._chosen[index]))

    def captions(self) -> Iterator[str]:
        for i in range(len(self)):
            try:
                yield from self[i]["caption"]
            except Damaged:
                continue  # the loader will meet it, replace it and report it
