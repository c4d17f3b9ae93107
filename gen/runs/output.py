"""Where programs write: looked at before the work, and nothing that is there is lost.

    output.file("--to", args.to, args.overwrite)       # refused where there is something already
    output.folder(out)                                 # refused where nothing can be written
    output.appended(out / "texts.jsonl", "text")       # refused where lines of something else would follow
    output.named(out, "grid", ".png", digest, is_own)  # another name where the file is of another request
    output.pages(workdir, ("index.html",), "stack.json") # refused where they are of something else
    output.aside(place / "evaluation.json")            # what is there gets a name of its own

Raises ValueError where the user should name another place, CannotWrite where the file system refuses.
"""

import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gen import files
from gen.files import CannotWrite
from gen.jsonfile import NotReadable, open_regular, parse
from gen.messages import note, say

LINE = 2**24  # bytes of a first line that is looked at


def file(flag: str, path: str | Path, overwrite: bool) -> Path:
    """A file that may be written: the name is free, or its file may be replaced."""
    path = Path(path)
    if not path.name or path.is_dir():
        raise ValueError(f"{flag}={path} is a directory; name a file")
    if not path.absolute().parent.is_dir():
        raise ValueError(f"{flag}={path}: {path.absolute().parent} is not a directory; make it first")
    if os.path.lexists(path):
        if not overwrite:
            raise ValueError(f"{flag}={path} exists already; name another file, or give --overwrite")
        if not path.is_file():
            raise ValueError(f"{flag}={path} is not a regular file; name another")
    folder(path.absolute().parent)
    return path


def samples(out: str | None, workdir: str | Path) -> Path:
    """OUT, which may be a link, or the samples of WORKDIR, which may not. Raises UnsafePath."""
    if out:
        return Path(out)
    place = Path(workdir) / "samples"
    files.check_own(place)
    return place


def folder(path: Path) -> Path:
    """A directory in which files can be written; it need not exist yet, and is not made."""
    there = next(place for place in (path.absolute(), *path.absolute().parents) if os.path.lexists(place))
    with files.writing(path), tempfile.TemporaryFile(dir=there):
        return path


def pages(place: Path, names: Iterable[str], mark: str) -> None:
    """Refuses a directory that has files of these names though `mark`, which the program writes first, is not there."""
    if not os.path.lexists(place / mark) and (there := [name for name in names if os.path.lexists(place / name)]):
        raise ValueError(f"{place / there[0]} exists already, and is of something else; give another --workdir")


def refusal(path: Path) -> str | None:
    """Why nothing can be written in a directory; None where it can."""
    try:
        folder(path)
    except CannotWrite as error:
        return str(error)
    return None


def appended(path: Path, key: str) -> Path:
    """A file of JSON lines, each an object with `key`, to which lines may be added; it need not exist yet."""
    folder(path.parent)
    if not os.path.lexists(path):
        return path
    with open_regular(path) as found:
        first = found.readline(LINE)
    try:
        line = parse(first, dict[str, Any], str(path), finite=False, paired=False) if first.strip() else {key: None}
    except NotReadable:
        line = {}
    if key not in line:
        raise ValueError(
            f"{path} does not hold lines of JSON with {key!r}, so nothing is added to it; name another place"
        )
    with files.writing(path), files.append(path):
        return path


def named(place: Path, stem: str, suffix: str, digest: str, own: Callable[[Path], bool]) -> Path:
    """PLACE/STEM+SUFFIX, or with `digest` in its name where a file of that name is not `own`: of the same request."""
    for path in (place / f"{stem}{suffix}", place / f"{stem}-{digest}{suffix}"):
        if not os.path.lexists(path) or own(path):
            return path
    raise ValueError(f"{path} is of something else; choose another --out")


def aside(path: Path) -> None:
    """Gives what is there the first free name of NAME.1, NAME.2, ..., and says so."""
    if os.path.lexists(path):
        free = next(
            name
            for n in itertools.count(1)
            if not os.path.lexists(name := path.with_name(f"{path.stem}.{n}{path.suffix}"))
        )
        path.rename(free)
        note(f"{path} is of something else, and is kept as {free.name}")


def lines_file(out: str | None, workdir: str | Path, name: str, key: str) -> tuple[Path, str | None]:
    """A file of JSON lines with `key` in OUT, or in the samples of WORKDIR, and why it cannot be written: only there,
    where what is made can be shown without, is that no error."""
    path = samples(out, workdir) / name
    problem = None if out else refusal(path.parent)
    return (path if problem else appended(path, key)), problem


def add_lines(path: Path, lines: Sequence[Mapping[str, Any]], problem: str | None) -> None:
    """Appends to a file of `lines_file`, or notes why that is not done."""
    if problem:
        return note(f"{problem}; shown here alone: give --out=DIR to keep what is made")
    with files.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.append_text(path, "".join(json.dumps(line) + "\n" for line in lines))
    say(f"added {len(lines)} texts to {path}")
