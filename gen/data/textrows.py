"""Files with a document a row: JSON lines and Parquet.

    for number, content in jsonl(Path("letters.jsonl"), "text"):
        content()                                               # the text of line `number`, or a Fault

A row is decoded when its content is asked for, so that rows of another split cost nothing.
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from gen.data import jsonlines
from gen.data.faults import Fault

type Content = Callable[[], str]


def jsonl(file: Path, field: str) -> Iterator[tuple[int, Content]]:
    """The lines that are not blank, by number from 1."""
    for number, line in jsonlines.lines(file):
        yield number, functools.partial(_of_line, line, field)


def parquet(file: Path, field: str) -> Iterator[tuple[int, Content]]:
    """The rows, by number from 0. Raises ValueError when the file is not whole or has no text column `field`."""
    import pyarrow  # takes a while, and most texts are not in Parquet
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(file)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(f"{file} is not a whole Parquet file: {error}") from error
    with table:
        if field not in table.schema_arrow.names:
            columns = ", ".join(table.schema_arrow.names)
            raise ValueError(f"{file} has no column {field!r}; set options.field to one of its columns: {columns}")
        number = 0
        batches = table.iter_batches(batch_size=1024, columns=[field])
        while True:
            try:
                batch = next(batches, None)
            except (pyarrow.ArrowInvalid, OSError) as error:
                raise ValueError(f"{file} is damaged behind row {number}: {error}") from error
            if batch is None:
                return
            for value in batch.column(0):
                yield number, functools.partial(_of_value, value)
                number += 1


def _of_line(line: bytes, field: str) -> str:
    try:
        return _checked(jsonlines.parse(line)[field])
    except (Fault, TypeError, KeyError) as error:
        raise Fault(f': not a JSON object in UTF-8 with a text "{field}"') from error


def _of_value(value) -> str:
    try:
        return _checked(value.as_py())
    except (ValueError, TypeError) as error:
        raise Fault(": not a text in UTF-8") from error


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError("text expected")
    text.encode()  # half a surrogate pair, which JSON can spell, is no text
    return text


ROWS: dict[str, Callable[[Path, str], Iterator[tuple[int, Content]]]] = {".jsonl": jsonl, ".parquet": parquet}
