"""Sets of pictures with captions."""

import contextlib
import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
from formats import each, format, read_all
from PIL import Image

ROOT = Path(__file__).parents[2]


def picture(grey: int, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 6, 3), grey, np.uint8)).save(file, form)
    return file.getvalue()


@format(lines="captions.jsonl", bytes="*.png *.jpg *.webp")
class Folder:
    SOURCE = "folder"

    @staticmethod
    def make(place: Path) -> None:
        place.mkdir(parents=True)
        names = [f"{i}.{form}" for i, form in enumerate(["png", "jpg", "webp"] * 2)]
        for i, name in enumerate(names):
            (place / name).write_bytes(picture(9 * i, {"jpg": "JPEG"}.get(name[2:], name[2:].upper())))
        lines = [json.dumps({"image": name, "caption": f"number {name}"}) for name in names]
        (place / "captions.jsonl").write_text("\n".join(lines) + "\n")

    @staticmethod
    def read(place: Path, kind: str = "folder") -> None:
        from gen.data import images
        from gen.data.catalog import open_source

        source = open_source(f"{kind}:{place}", "train", size=4)
        each(lambda i: images.decode(source[i]["image"]), len(source))
        list(source.captions())


@format(lines="metadata.jsonl", bytes="alongside/*.txt alongside/*.jpg")
class Metadata:
    """Captions as Hugging Face's image folders have them, and in a text alongside each image."""

    @staticmethod
    def make(place: Path) -> None:
        Folder.make(place / "listed")
        lines = (place / "listed" / "captions.jsonl").read_text()
        (place / "metadata.jsonl").write_text(lines.replace('"image"', '"file_name"').replace('"caption"', '"text"'))
        (place / "listed" / "captions.jsonl").unlink()
        for path in (place / "listed").iterdir():
            path.rename(place / path.name)
        shutil.copytree(place, place / "alongside")
        (place / "alongside" / "metadata.jsonl").unlink()
        for path in list((place / "alongside").glob("*.png")):
            path.with_suffix(".txt").write_text(f"number {path.stem}\n")

    @staticmethod
    def read(place: Path) -> None:
        read_all([lambda: Folder.read(place), lambda: Folder.read(place / "alongside")])


@format(bytes="captions.csv")
class Table:
    @staticmethod
    def make(place: Path) -> None:
        Folder.make(place)
        (place / "captions.jsonl").unlink()
        rows = "".join(f'{path.name},"number ""{path.stem}"""\n' for path in sorted(place.iterdir()))
        (place / "captions.csv").write_text("image,caption\n" + rows)

    read = Folder.read


@format(bytes="*.array_record")
class Records:
    @staticmethod
    def make(place: Path) -> None:
        from gen.data import records

        place.mkdir(parents=True)
        every = [{"image": picture(i), "caption": (f"number {i}",), "name": str(i)} for i in range(20)]
        records.write(place / "all.array_record", every)

    @staticmethod
    def read(place: Path) -> None:
        Folder.read(place, "array_record")


@format(bytes="a.tar")
class Tar:
    @staticmethod
    def make(place: Path) -> None:
        place.mkdir(parents=True)
        with tarfile.open(place / "a.tar", "w") as out:
            for i in range(4):
                caption = ("txt", b"a caption") if i % 2 else ("json", b'{"caption": ["one", "two"]}')
                for ending, content in (("png", picture(i)), caption):
                    info = tarfile.TarInfo(f"{i}.{ending}")
                    info.size = len(content)
                    out.addfile(info, io.BytesIO(content))

    @staticmethod
    def read(place: Path) -> None:
        from gen.data.webdataset import convert

        convert([place / "a.tar"], place / "out")


@format(json="1.0.0/features.json 1.0.0/dataset_info.json", bytes="1.0.0/*.array_record*")
class Tfds:
    @staticmethod
    def make(place: Path) -> None:
        import sys

        sys.path.insert(0, str(ROOT / "tests" / "data"))
        from tiny_captions.tiny_captions_dataset_builder import Builder

        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            Builder(data_dir=str(place.parent / "tfds"), file_format="array_record").download_and_prepare()
        shutil.copytree(place.parent / "tfds" / "tiny_captions", place)

    @staticmethod
    def read(place: Path) -> None:
        Folder.read(place / "1.0.0", "tfds")
