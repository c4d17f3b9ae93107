"""Files with a document a row, as objects by name: JSON lines, JSON lists, tables and Parquet.

    for number, row in ROWS["jsonl"](Path("letters.jsonl"), "text"):
        row()["text"]                                   # of line `number`, or a Fault

A row is decoded when it is asked for, so that rows of another split cost nothing. Lines count from 1, items of a list
as well, rows of Parquet from 0. Where columns have names, one that differs by case is found as well.
"""

import csv
import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gen import jsonfile
from gen.data import jsonlines, opened
from gen.data.faults import ParseError
from gen.messages import bare

type Row = Callable[[], Mapping[str, Any]]
type Rows = Generator[tuple[int, Row]]

LONGEST = 2**31 - 1  # characters of a cell; the limit of the csv module is meant for short ones


class NoColumn(ValueError):
    """A table lacks a column; says which it has."""


def jsonl(file: Path, key: str, alone: bool = False) -> Rows:
    """The lines that are not blank."""
    for number, line in jsonlines.lines(file):
        yield number, functools.partial(jsonlines.parse, line, paired=False)


def items(file: Path, key: str, alone: bool = False) -> Rows:
    """The items of a JSON list; an object alone is one item. Raises ValueError for a file that holds neither."""
    try:
        text = opened.text(file)
    except opened.Undecodable as fault:
        raise ValueError(f"{file}{fault}") from fault
    found = jsonfile.parse(text, list[Any] | dict[str, Any], str(file), finite=False, paired=False)
    for number, item in enumerate(found if isinstance(found, list) else [found], 1):
        yield number, functools.partial(_object, item)


def table(file: Path, key: str, alone: bool = False) -> Rows:
    """The rows below the names of the columns, which tabs separate in .tsv, and commas, semicolons or tabs elsewhere.

    Raises NoColumn where `key` is not among them, ValueError for quotes that do not match.
    """
    csv.field_size_limit(LONGEST)  # of the whole process, as the module has no other
    decoded = (_decoded(file, line) for line in opened.lines(file))
    names, separator = _columns(file, next(decoded, ""), key, alone)
    rows = csv.reader(decoded, delimiter=separator, strict=True)
    while True:
        number = rows.line_num + 2  # that of its first line
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise ValueError(f"{file}:{number}: {error}; quote a text that holds quotes or new lines") from error
        if row is None:
            return
        if row:
            yield number, functools.partial(_of_cells, names, row)


def _decoded(file: Path, line: bytes) -> str:
    if len(line) > opened.LONGEST:
        raise ValueError(f"{file} has a line of more than {opened.LONGEST:,} bytes; cut its text")
    return line.decode("utf-8-sig", "surrogateescape")


def parquet(file: Path, key: str, alone: bool = False) -> Rows:
    """The rows, of the column `key` alone if asked for.

    Raises NoColumn where there is no such column, ValueError when the file is not whole.
    """
    import pyarrow  # takes a while, and most texts are not in Parquet
    import pyarrow.parquet

    if opened.compressed(file):
        raise ValueError(f"{file} is compressed, and Parquet is so inside; decompress it")
    try:
        whole = pyarrow.parquet.ParquetFile(file)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(f"{file} is not a whole Parquet file: {error}") from error
    with whole:
        if key not in whole.schema_arrow.names:
            raise _no_column(file, key, whole.schema_arrow.names, alone)
        number = 0
        batches = whole.iter_batches(batch_size=1024, columns=[key] if alone else None)
        while True:
            try:
                batch = next(batches, None)
            except (pyarrow.ArrowInvalid, OSError) as error:
                raise ValueError(f"{file} is damaged behind row {number}: {error}") from error
            if batch is None:
                return
            for i in range(batch.num_rows):
                yield number, functools.partial(_of_batch, batch, i)
                number += 1


ROWS: dict[str, Callable[..., Rows]] = {
    "jsonl": jsonl,
    "json": items,
    "csv": table,
    "tsv": table,
    "parquet": parquet,
}


def text_of(row: Row, key: str, kind: str) -> str:
    """The text of a row, as it is. Raises Fault for a row without a text."""
    form = f': not a JSON object in UTF-8 with a text "{key}"' if kind in ("jsonl", "json") else ": not a text in UTF-8"
    try:
        text = row()[key]
        text.encode()  # half a surrogate pair, which JSON can spell, is no text
    except ParseError as fault:
        raise ParseError(form if kind in ("jsonl", "json") else str(fault)) from fault
    except (KeyError, AttributeError, UnicodeEncodeError) as error:
        raise ParseError(form) from error
    if not isinstance(text, str):
        raise ParseError(form)
    return text


def _object(item: Any) -> Mapping[str, Any]:
    if not isinstance(item, dict):
        raise ParseError(": not a JSON object; write one object a line")
    return item


def _of_cells(names: Sequence[str], row: Sequence[str]) -> Mapping[str, Any]:
    if len(row) != len(names):
        raise ParseError(f": {len(row)} cells in {len(names)} columns; put a text with separators in double quotes")
    return dict(zip(names, row, strict=True))


def _of_batch(batch: Any, index: int) -> Mapping[str, Any]:
    try:
        return {name: batch.column(name)[index].as_py() for name in batch.schema.names}
    except UnicodeDecodeError as error:
        raise ParseError(": not a text in UTF-8") from error


def _columns(file: Path, head: str, key: str, alone: bool) -> tuple[list[str], str]:
    """The names of the columns, `key` written as it is asked for, and what separates them."""
    separators = "\t" if opened.ending(file) == ".tsv" else ",;\t"
    for separator in separators:
        names = _cells(head, separator)
        if key in names:
            return names, separator
        folded = [name.casefold() for name in names]
        if folded.count(key.casefold()) == 1:
            return [key if name == key.casefold() else name for name in folded], separator
    raise _no_column(file, key, max((_cells(head, separator) for separator in separators), key=len), alone)


def _cells(line: str, separator: str) -> list[str]:
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]


def _no_column(file: Path, key: str, names: Sequence[str], alone: bool) -> NoColumn:
    listed = ", ".join(bare(name) for name in names)
    advice = "set options.field to one of its columns" if alone else "name one so; it has the columns"
    return NoColumn(f"{file} has no column {key!r}; {advice}: {listed}")
