"""WebDataset tars, converted once: tars can only be read from front to back, ArrayRecord files anywhere.

In a tar, neighbouring members with one key (the path up to the first dot of the file name) make a sample:

    000017.jpg      the image: jpg, jpeg, png or webp
    000017.txt      its caption, or 000017.json with {"caption": "..."} or a list of them; the text wins

    convert(["birds-000.tar", "birds-001.tar"], "birds")            # birds/birds-000.array_record, ...
    open_source("array_record:birds", "train", size=64)

Nothing is extracted to disk and nothing but these members is read.
"""

import itertools
import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gen.data import images, records
from gen.data.source import Damaged, Record

IMAGES = (".jpg", ".jpeg", ".png", ".webp")
TEXTS = (".txt", ".json")
MAX_BYTES = 100_000_000  # of one member: more than any image within the pixel limit needs


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
    Path(folder).mkdir(parents=True, exist_ok=True)
    converted = Converted({}, [])
    for tar, target in targets.items():
        if not target.exists():
            converted.written[str(target)] = records.write(target, _samples(tar, converted.skipped))
    return converted


def _samples(path: Path, skipped: list[str]) -> Iterator[Record]:
    """The samples of a tar; what makes none goes to `skipped`."""
    for key, members in itertools.groupby(_members(path, skipped), key=lambda member: _key(member[0])):
        try:
            yield _sample(key, dict(members))
        except Damaged as reason:
            skipped.append(f"{path}:{key}: {reason}")


def _members(path: Path, skipped: list[str]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the members that may belong to a sample."""
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                what = _unusable(member)
                if what:
                    skipped.append(f"{path}:{member.name}: {what}")
                elif content := tar.extractfile(member):  # None for a directory
                    yield member.name, content.read()
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{path} is not a whole tar file: {error}; fetch it again") from error


def _unusable(member: tarfile.TarInfo) -> str:
    """Why a member cannot be part of a sample, or nothing. Directories pass, and are no fault."""
    if member.isdir():
        return ""
    if not member.isreg():
        return "not a regular file"
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
        raise Damaged(f"it has {len(found)} images, not one")
    images.check_header(found[0])
    captions = _captions(content)
    if not captions:
        raise Damaged("it has no caption")
    return {"image": found[0], "caption": captions, "name": key}


def _captions(content: dict[str, bytes]) -> tuple[str, ...]:
    try:
        if ".txt" in content:
            captions = [content[".txt"].decode()]
        else:
            caption = json.loads(content.get(".json", b"{}")).get("caption", [])
            captions = caption if isinstance(caption, list) else [caption]
        return tuple(caption.strip() for caption in captions if caption.strip())
    except (ValueError, AttributeError, RecursionError) as error:
        raise Damaged(f"its caption cannot be read: {error}") from error
