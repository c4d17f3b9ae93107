"""WebDataset tars, converted once: tars can only be read from front to back, ArrayRecord files anywhere.

In a tar, neighbouring members with one key (the path up to the first dot of the file name) make a sample:

    000017.jpg      the image: jpg, jpeg, png or webp
    000017.txt      its caption, or 000017.json with {"caption": "..."} or a list of them; the text wins

    convert(["birds-000.tar", "birds-001.tar"], "birds")            # birds/birds-000.array_record, ...
    open_source("array_record:birds", "train", size=64)

Nothing is extracted to disk and nothing but these members is read.
"""

import itertools
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from gen import jsonfile
from gen.data import images, records, tarfiles
from gen.data.alongside import caption_in
from gen.data.entries import checked_text
from gen.data.faults import ParseError
from gen.data.source import CorruptRecord, Record
from gen.messages import harmless

IMAGES = images.ENDINGS
TEXTS = (".txt", ".json")
MAX_BYTES = 100_000_000  # of one member: more than any image within the pixel limit needs
LONGEST_NAME = 1000  # characters
SHOWN = 200  # characters of a name in a message


class Converted(NamedTuple):
    """What became of the tars."""

    written: dict[str, int]  # {ArrayRecord file: samples}, without the files that an earlier call had finished
    skipped: list[str]  # "tar:member: why", for whatever made no sample


def convert(tars: Sequence[str | Path], folder: str | Path) -> Converted:
    """Writes an ArrayRecord file into `folder` for each tar; stopped and called again, it goes on with the next tar.

    Raises ValueError for a file that is not a tar, or is cut short, and for tars of equal names.
    """
    targets = {Path(tar): Path(folder) / f"{Path(tar).stem}.array_record" for tar in tars}
    twice = [target.name for target, times in Counter(targets.values()).items() if times > 1]
    if twice:
        raise ValueError(f"several tars would be written to {', '.join(twice)}; rename them or convert them apart")
    for tar in targets:
        if not tar.is_file():
            raise ValueError(f"there is no tar file {tar}")
    Path(folder).mkdir(parents=True, exist_ok=True)
    converted = Converted({}, [])
    for tar, target in targets.items():
        if not target.exists():  # it appears when it is whole
            converted.written[str(target)] = records.write(target, _samples(tar, converted.skipped))
    return converted


def _samples(path: Path, skipped: list[str]) -> Iterator[Record]:
    """The samples of a tar; what makes none goes to `skipped`."""
    skip = lambda name, reason: skipped.append(f"{path}:{harmless(_shown(name)[:SHOWN])}: {reason}")
    for key, members in itertools.groupby(tarfiles.members(path, _unusable, skip), key=lambda member: _key(member[0])):
        try:
            yield _sample(key, dict(members))
        except CorruptRecord as reason:
            skip(key, str(reason))


def _shown(name: str) -> str:
    """The name of a member, with \\xe9 for a byte that is not UTF-8, as in a tar of another encoding."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _unusable(member: tarfile.TarInfo) -> str:
    """Why a member cannot be part of a sample, or nothing. Directories pass, and are no fault."""
    if member.isdir():
        return ""
    if not member.isreg():
        return "not a regular file"
    if len(member.name) > LONGEST_NAME:
        return f"its name has {len(member.name):,} characters"
    if _extension(member.name) not in IMAGES + TEXTS:
        return "neither an image (jpg, jpeg, png, webp) nor a caption (txt, json)"
    if member.size > MAX_BYTES:
        return f"{member.size:,} bytes are more than {MAX_BYTES:,}"
    return ""


def _key(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_name(path.name.split(".", 1)[0]))


def _extension(name: str) -> str:
    return "." + PurePosixPath(name).name.partition(".")[2].lower()


def _sample(key: str, members: dict[str, bytes]) -> Record:
    content = {_extension(name): data for name, data in members.items()}
    found = [content[extension] for extension in IMAGES if extension in content]
    if len(found) != 1:
        raise CorruptRecord(f"it has {len(found)} images, not one")
    images.check_header(found[0])
    captions = _captions(content)
    if not captions:
        raise CorruptRecord("it has no caption")
    return {"image": found[0], "caption": captions, "name": _shown(key)}


def _captions(content: dict[str, bytes]) -> tuple[str, ...]:
    if ".txt" in content:
        return caption_in(content[".txt"])
    if ".json" not in content:
        return ()
    if len(content[".json"]) > jsonfile.SIZE:
        raise CorruptRecord(f"its .json has more than {jsonfile.SIZE:,} bytes")
    try:
        found = jsonfile.parse(content[".json"], dict[str, Any], "its .json", finite=False).get("caption", [])
        captions = [checked_text(caption, "its caption") for caption in (found if isinstance(found, list) else [found])]
    except jsonfile.NotReadable as error:
        raise CorruptRecord(str(error)) from error
    except ParseError as fault:
        raise CorruptRecord(str(fault).removeprefix(": ")) from fault
    return tuple(caption.strip() for caption in captions)
