"""The ArrayRecord files of a set, and the hashes of its records' names, which the last record of each file lists:

    8 bytes     "gennames"
    8 bytes     for each record before it, `source.mark` of its name as a big-endian number

opened([Path("birds/birds-000.array_record")])[0].marks_N       # uint64, one a record; None in files of version 0.1.0
"""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader
from jaxtyping import UInt64

from gen.jsonfile import open_regular
from gen.messages import is_text, short

MAGIC = b"gennames"
THREADS = 16  # files that are opened at a time
LOOKED_AT = 8  # records that tell whether a file has a list, where that is damaged


class Shard(NamedTuple):
    """The records of one file, in the form that ArrayRecordDataSource takes: `take` after `skip`, the list not."""

    filename: str
    skip: int
    take: int
    examples_in_shard: int
    marks_N: UInt64[np.ndarray, "N"] | None

    @property
    def digest(self) -> str:
        return "" if self.marks_N is None else " " + hashlib.sha256(self.marks_N.tobytes()).hexdigest()


def listing(marks: Sequence[int]) -> bytes:
    """The last record of a file whose records have names of these hashes."""
    return MAGIC + np.array(marks, ">u8").tobytes()


def opened(files: Sequence[Path]) -> list[Shard]:
    """Raises ValueError for a file that is not a whole ArrayRecord file, or whose list of names is damaged."""
    with ThreadPoolExecutor(min(THREADS, len(files))) as pool:
        return list(pool.map(_open, files))


def check(counts: Mapping[str, int]) -> None:
    """Raises ValueError unless each file, by its name, is a whole ArrayRecord file of so many records or more."""

    def look(file: str) -> None:
        with _reader(file) as reader:
            found = reader.num_records()
        if found < counts[file]:
            raise ValueError(f"{file} has {found} records, but {counts[file]} are expected")

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(look, counts))


@contextlib.contextmanager
def _reader(file: str) -> Iterator[ArrayRecordReader]:
    """Raises ValueError for what is not a whole file, OSError where it cannot be read for now."""
    open_regular(Path(file)).close()  # ArrayRecord would wait for who writes into a FIFO
    if not is_text(file):
        raise ValueError(f"{file} has a name that is not UTF-8, which ArrayRecord cannot open; rename it")
    try:
        reader = ArrayRecordReader(file)
        try:
            yield reader
        finally:
            reader.close()
    except RuntimeError as error:
        raise ValueError(f"{file} is not a whole ArrayRecord file: {short(str(error))[1:-1]}") from error


def _open(file: Path) -> Shard:
    with _reader(str(file)) as reader:
        count = reader.num_records()
        last = _read(reader, count - 1) if count else None
        if last is not None and last.startswith(MAGIC):
            if len(last) != len(MAGIC) + 8 * (count - 1):
                raise ValueError(f"{file} lists the names of other records than it has; convert its tar again")
            marks_N = np.frombuffer(last, ">u8", offset=len(MAGIC)).astype(np.uint64)
            return Shard(str(file), 0, count - 1, count, marks_N)
        if last is None and _has_list(reader, count):
            raise ValueError(f"{file} has a damaged list of names; convert its tar again")
        return Shard(str(file), 0, count, count, None)


def _has_list(reader: ArrayRecordReader, count: int) -> bool:
    """Whether the first record that can be read is of a file with a list."""
    contents = (_read(reader, index) for index in range(min(LOOKED_AT, count)))
    first = next((content for content in contents if content is not None), b"")
    return b'"format": ' in first[4 : 4 + int.from_bytes(first[:4], "little")]


def _read(reader: ArrayRecordReader, index: int) -> bytes | None:
    """A record, or None where it is damaged."""
    try:
        return reader.read([index])[0]
    except RuntimeError:
        return None
