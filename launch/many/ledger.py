"""What has been made and is there, as lines of JSON, which a long list goes on from.

ledger = Ledger(Path("out"), process=0, processes=1)
if identify(record, index) not in ledger:
    ledger.add({"id": ..., "file": "a-seven-1f6c02a9.png", ...})

OUT/samples.jsonl has a line for each sample, complete once what it tells of is there; of several processes each writes
a file of its own, OUT/samples-1-of-4.jsonl, and all are read.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gen.train import files


class Ledger:
    """`made` has the lines so far, by id."""

    def __init__(self, out: Path, process: int, processes: int):
        """Raises ValueError for a line that is none of these, CannotWrite where OUT cannot be written."""
        with files.writing(out):
            out.mkdir(parents=True, exist_ok=True)
        self.path = out / ("samples.jsonl" if processes == 1 else f"samples-{process}-of-{processes}.jsonl")
        self.made: dict[str, dict[str, Any]] = {}
        for path in sorted(out.glob("samples*.jsonl")):
            self.made |= {
                line["id"]: line for line in lines(path) if "file" not in line or (out / line["file"]).exists()
            }

    def __contains__(self, name: str) -> bool:
        return name in self.made

    def add(self, line: Mapping[str, Any]) -> None:
        """Appends a line, behind the end of one that was never finished. Raises CannotWrite."""
        with files.writing(self.path), self.path.open("ab+") as file:
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                if file.read() != b"\n":
                    file.write(b"\n")
            file.write(json.dumps(line).encode() + b"\n")
        self.made[line["id"]] = dict(line)


def lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file that are whole; one that was cut off, as by a crash, tells of nothing."""
    found = []
    for number, text in enumerate(path.read_bytes().splitlines(), 1):
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if not isinstance(line, dict) or not isinstance(line.get("id"), str):
            raise ValueError(f"{path}, line {number} is of something else; choose another --out")
        found.append(line)
    return found


def identify(record: Mapping[str, Any], index: int | str) -> str:
    """The id of a sample: a digest of all that it is made from, but for where it is made."""
    asked = {key: value for key, value in record.items() if key not in ("made_with", "num", "batch", "row")}
    return hashlib.sha256(json.dumps([asked, index], sort_keys=True).encode()).hexdigest()[:16]
