"""What has been made and is there, as lines of JSON, which a long list goes on from.

ledger = SampleIndex(Path("out"), process=0, processes=1)
if identify(record, index) not in ledger:
    ledger.add({"id": ..., "file": "a-seven-1f6c02a9.png", ...})

OUT/samples.jsonl has a line for each sample, complete once what it tells of is there; of several processes each writes
a file of its own, OUT/samples-1-of-4.jsonl, and all are read.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from gen import files, jsonfile
from gen.jsonfile import NotReadable
from gen.messages import short

LINE = 2**24  # bytes


class _Line(TypedDict):
    id: str
    file: NotRequired[str]
    text: NotRequired[str]


class SampleIndex:
    """`made` has the lines so far, by id."""

    def __init__(self, out: Path, process: int, processes: int):
        """Raises ValueError for a line that is none of these, CannotWrite where OUT cannot be written."""
        with files.writing(out):
            out.mkdir(parents=True, exist_ok=True)
        self.path = out / ("samples.jsonl" if processes == 1 else f"samples-{process}-of-{processes}.jsonl")
        self.made: dict[str, dict[str, Any]] = {}
        for path in sorted(out.glob("samples*.jsonl")):
            self.made |= {
                line["id"]: line for line in lines(path) if "file" not in line or (out / line["file"]).is_file()
            }

    def __contains__(self, name: str) -> bool:
        return name in self.made

    def add(self, line: Mapping[str, Any]) -> None:
        """Appends a line, behind the end of one that was never finished. Raises CannotWrite."""
        with files.writing(self.path):
            files.append_text(self.path, json.dumps(line) + "\n")
        self.made[line["id"]] = dict(line)


def lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file that are whole; one that was cut off, as by a crash, tells of nothing."""
    found = []
    with jsonfile.open_regular(path) as file:
        for number, text in enumerate(iter(lambda: file.readline(LINE + 1), b""), 1):
            where = f"{path}, line {number}"
            try:
                line = jsonfile.parse(text, Any, where)
            except NotReadable:
                if len(text) > LINE:
                    raise ValueError(f"{where}, is longer than {LINE:,} bytes; choose another --out") from None
                continue
            try:
                found.append(_checked(line, where))
            except NotReadable as error:
                raise ValueError(f"{where} is of something else; choose another --out ({error})") from error
    return found


def _checked(line: Any, where: str) -> dict[str, Any]:
    """Raises NotReadable for a line without an id, or whose file is not in the folder of the ledger."""
    if Path(jsonfile.check(line, _Line, where).get("file", "")).name != line.get("file", ""):
        raise NotReadable(f"{where}: file is {short(line['file'])}, which is not the name of a file there")
    return line


def identify(record: Mapping[str, Any], index: int | str) -> str:
    """The id of a sample: a digest of all that it is made from, but for where it is made."""
    asked = {key: value for key, value in record.items() if key not in ("made_with", "num", "batch", "row")}
    return hashlib.sha256(json.dumps([asked, index], sort_keys=True).encode()).hexdigest()[:16]
