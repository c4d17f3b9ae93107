"""A folder of images with a captions file (`captions`), read as it lies.

    birds/captions.jsonl
    birds/robin.jpg
    birds/more/wren.png

    Folder("birds", "train", test_fraction=0.1)[0]      # {"image": bytes, "caption": ("a robin",), "name": "robin.jpg"}

A hash of its relative path puts an image into the train or the test split, so that adding images moves no other.
"""

from collections.abc import Iterator
from pathlib import Path

from gen.data.captions import read_captions
from gen.data.source import Record, digest, train_or_test

FILES = ("captions.jsonl", "captions.csv")


class Folder:
    """The images of one split, in the order of the captions file, as encoded bytes."""

    def __init__(self, folder: str | Path, split: str, test_fraction: float):
        """Raises ValueError when the folder, its captions file or an image is missing, or lines are faulty."""
        self.name = f"folder:{folder} ({split})"
        self._folder = Path(folder)
        captions_of = read_captions(_captions_file(self._folder))
        images = list(captions_of)
        chosen = train_or_test(images, split, test_fraction, f"folder:{folder}")
        self._items = [(images[i], captions_of[images[i]]) for i in chosen]
        # Sizes stand for contents, which would take as long to read as an epoch.
        listing = ((image, (self._folder / image).stat().st_size, captions) for image, captions in self._items)
        self.fingerprint = digest("folder", *map(repr, listing))

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Record:
        image, captions = self._items[index]
        return {"image": (self._folder / image).read_bytes(), "caption": captions, "name": image}

    def captions(self) -> Iterator[str]:
        return (caption for _, captions in self._items for caption in captions)


def _captions_file(folder: Path) -> Path:
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    found = [folder / name for name in FILES if (folder / name).is_file()]
    if len(found) != 1:
        raise ValueError(f"{folder} must hold one of {' and '.join(FILES)}, it holds {'both' if found else 'neither'}")
    return found[0]
