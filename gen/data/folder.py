"""A folder of images, read as it lies, with captions in one file (captions.py), in a .txt alongside each, or without.

    birds/captions.jsonl
    birds/robin.jpg
    birds/more/wren.png

    Folder("birds", "train", test_fraction=0.1)[0]      # {"image": bytes, "caption": ("a robin",), "name": "robin.jpg"}

    crows/1.jpg     crows/1.txt                         the image and its caption
    stones/1.jpg                                        {"image": bytes, "caption": (), "name": "1.jpg"}

A hash of its path within the folder puts an image into the train or the test split, so that adding images moves no
other. By "spelling", the rule of version 0.1.0, it is the path as the captions file first spells it, ./robin.jpg for
one, and another order of the lines can move an image.
"""

import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from gen import imagefile, jsonfile
from gen.data import images
from gen.data.alongside import LONGEST, caption_in
from gen.data.captions import FILES, read_captions
from gen.data.faults import ParseError, ParseErrors
from gen.data.placed import Placed
from gen.data.source import CorruptRecord, FileRule, Record, digest_of, train_or_test

type Item = tuple[str, tuple[str, ...] | None]  # an image, and its captions where one file has those of all


class Folder:
    """The images of one split, in the order of the captions file or of their names, as encoded bytes."""

    def __init__(
        self,
        folder: str | Path,
        split: str,
        test_fraction: float,
        caption: str = "",
        split_by: FileRule = "name",
    ):
        """`caption` is the name that captions have in the captions file (`read_captions`).

        Raises ValueError when the folder or an image is missing, lines are faulty, or the split holds nothing.
        """
        self.name = f"folder:{folder} ({split})"
        self._folder = Path(folder).expanduser()
        items, keys = _items(self._folder, caption, split_by)
        self._items = [items[i] for i in train_or_test(keys, split, test_fraction, f"folder:{folder}")]
        # Sizes stand for contents, which would take as long to read as an epoch.
        self.fingerprint = digest_of(itertools.chain(["folder"], map(repr, self._listing())))

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Record:
        image, captions = self._items[index]
        try:
            content = imagefile.read(self._folder / image)
        except imagefile.NotAnImage as error:
            raise CorruptRecord(str(error)) from error
        except jsonfile.NotReadable as error:  # it was there when the folder was opened
            raise OSError(str(error)) from error
        return {"image": content, "caption": self._alongside(image) if captions is None else captions, "name": image}

    def captions(self) -> Iterator[str]:
        for image, captions in self._items:
            try:
                yield from self._alongside(image) if captions is None else captions
            except CorruptRecord:
                continue  # the loader will meet it, replace it and report it

    def _alongside(self, image: str) -> tuple[str, ...]:
        """The caption in the .txt of an image, if there is one."""
        path = self._folder / _text_of(image)
        if not path.exists():
            return ()
        try:
            with jsonfile.open_regular(path) as file:
                return caption_in(file.read(LONGEST + 1))
        except jsonfile.NotReadable as error:
            raise OSError(str(error)) from error

    def _listing(self) -> Iterator[tuple[str, int, tuple[str, ...] | int]]:
        for image, captions in self._items:
            path = os.path.join(self._folder, image)
            if captions is None:
                text = os.path.join(self._folder, _text_of(image))
                yield image, os.stat(path).st_size, os.stat(text).st_size if os.path.exists(text) else -1
            else:
                yield image, os.stat(path).st_size, captions


def _text_of(image: str) -> str:
    return os.path.splitext(image)[0] + ".txt"


def _items(folder: Path, caption: str, split_by: FileRule) -> tuple[list[Item], list[str]]:
    """The images of a folder, and what the split of each goes by."""
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    found = [name for name in FILES if os.path.lexists(folder / name)]
    captions = [name for name in found if name.startswith("captions.")]
    found = captions or found  # gen's own come before those of Hugging Face
    if len(found) > 1:
        raise ValueError(f"{folder} holds {' and '.join(found)}; keep the one that has the captions")
    if found:
        captioned = read_captions(folder / found[0], caption)
        items: list[Item] = [(one.spelled, one.captions) for one in captioned.values()]
        return items, list(captioned) if split_by == "name" else [image for image, _ in items]
    if caption:
        raise ValueError(f"{folder} has none of {', '.join(FILES)} that options.caption={caption} could be a name in")
    names = sorted(_images(folder))
    if not names:
        raise ValueError(f"{folder} holds no image, as .jpg, .jpeg, .png or .webp, and none of {', '.join(FILES)}")
    return [(name, None) for name in names], names


def _images(folder: Path) -> Iterable[str]:
    """The image files below a folder, by their paths within it; not hidden ones, nor those behind links to folders."""
    faults, placed, found = ParseErrors(folder), Placed(folder), []
    for place, below, files in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".")]
        inner = os.path.relpath(place, folder)
        for file in files:
            if not file.startswith(".") and file.lower().endswith(images.ENDINGS):
                name = file if inner == "." else f"{inner}/{file}"
                try:
                    placed.check(name)
                    found.append(name)
                except ParseError as fault:
                    faults.add(f"{folder}{fault}")
    faults.check()
    return found
