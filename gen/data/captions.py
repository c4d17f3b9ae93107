"""Captions files: which captions belong to which image of a folder.

    captions.jsonl      {"image": "birds/7.jpg", "caption": "a robin"}          or "caption": ["a robin", "a red bird"]
    captions.csv        image,caption
                        birds/7.jpg,"a robin, singing"

An image named on several lines has the captions of all of them. Every fault of a file is found before any is
reported, each with its line, so that one round of mending is enough.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

type Line = tuple[int, str, list[str]]  # line number, image, captions

SHOWN = 20  # faults spelled out in one message


def read_captions(path: Path) -> dict[str, tuple[str, ...]]:
    """{image as written: its captions}, in order of first mention.

    Raises ValueError listing each faulty line as "file:line: what is wrong"; an image must be a file inside the
    folder of the captions file.
    """
    faults: list[str] = []
    captions_of: dict[str, tuple[str, ...]] = {}
    parse = _jsonl if path.suffix == ".jsonl" else _csv
    for number, image, captions in parse(path, faults):
        what = _fault(path.parent, image, captions)
        if what:
            faults.append(f"{path}:{number}: {what}")
        else:
            captions_of[image] = captions_of.get(image, ()) + tuple(captions)
    if faults:
        more = f"\n... and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise ValueError(
            f"{path} has {len(faults)} faulty lines; mend or remove them\n" + "\n".join(faults[:SHOWN]) + more
        )
    return captions_of


def _jsonl(path: Path, faults: list[str]) -> Iterator[Line]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line.decode())
                image, captions = entry["image"], entry["caption"]
            except (ValueError, TypeError, KeyError):
                faults.append(f'{path}:{number}: not a JSON object with "image" and "caption"')
                continue
            yield number, image, captions if isinstance(captions, list) else [captions]


def _csv(path: Path, faults: list[str]) -> Iterator[Line]:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
        rows = csv.DictReader(lines, strict=True)
        try:
            if not {"image", "caption"} <= set(rows.fieldnames or ()):
                faults.append(f'{path}:1: the first line must name the columns "image" and "caption"')
                return
            for row in rows:
                if None in row:
                    faults.append(f"{path}:{rows.line_num}: too many columns; put a text with commas in double quotes")
                else:
                    yield rows.line_num, row["image"], [row["caption"]]
        except csv.Error as error:
            faults.append(f"{path}:{rows.line_num + 1}: {error}; nothing was read from here on")


def _fault(folder: Path, image: object, captions: Sequence[object]) -> str:
    """What is wrong with a line, or nothing."""
    if not all(isinstance(text, str) and text.strip() for text in (image, *captions)) or not captions:
        return "the image and each caption must be a text that is not empty"
    if any("\ufffd" in str(text) for text in (image, *captions)):
        return "not UTF-8; save the file in that encoding"
    place = folder / str(image)
    if not place.resolve().is_relative_to(folder.resolve()) or ".." in Path(str(image)).parts:
        return f"{image} leads out of the folder"
    if not place.is_file():
        return f"there is no image {image}"
    return ""
