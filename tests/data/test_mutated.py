"""Mutated inputs of every reader of pictures end in records, in damaged records or in one sentence of gen's own."""

import json
import shutil
import tarfile
import traceback

import numpy as np
import pytest
from PIL import Image

from gen.data.catalog import open_source
from gen.data.source import CorruptRecord
from gen.data.webdataset import convert
from tests.data.test_webdataset import numbered, tar

PIECES = (b"\0", rb"\u0000", rb"\ud83d", b"[" * 5000, b'"', b"\xff\xfe", b"\xef\xbb\xbf", b"x" * 300, b"loop/", b"../")


def mutated(content: bytes, rng: np.random.Generator, places=None) -> bytes:
    """`content` with up to three bytes changed or pieces put in, or cut off."""
    copy = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.choice(places)) if places is not None else int(rng.integers(len(copy)))
        if places is None and rng.random() < 0.5:
            copy[at:at] = PIECES[rng.integers(len(PIECES))]
        else:
            copy[at % len(copy)] = rng.integers(256)
    return bytes(copy[: rng.integers(len(copy))] if rng.random() < 0.1 else copy)


def meet(read) -> None:
    """Calls `read`, which may end in OSError, or in a ValueError that gen raised, in a message of bounded length."""
    try:
        read()
    except OSError:
        pass
    except ValueError as error:
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        assert "/gen/" in frame.f_code.co_filename and len(str(error)) < 3000


def every(spec: str) -> None:
    source = open_source(spec, "train", size=4, test_fraction=0.0)
    for index in range(min(len(source), 20)):
        try:
            assert isinstance(source[index]["caption"], tuple)
        except CorruptRecord as damage:
            assert len(str(damage)) < 300


def captions(folder, rng, count: int) -> None:
    for i in range(4):
        Image.new("RGB", (4, 4)).save(folder / f"{i}.png")
    (folder / "loop").symlink_to("loop")
    lines = b"".join(json.dumps({"image": f"{i}.png", "caption": [f"a {i}", "b"]}).encode() + b"\n" for i in range(4))
    rows = b"file_name;text\n" + b"".join(b'%d.png;"a, %d"\n' % (i, i) for i in range(4))
    for number in range(count):
        name, content = (("captions.jsonl", lines), ("metadata.csv", rows))[number % 2]
        (folder / name).write_bytes(mutated(content, rng))
        meet(lambda: every(f"folder:{folder}"))
        (folder / name).unlink()


def tars(folder, rng, count: int) -> None:
    path = tar(folder / "a.tar", numbered(0, 4))
    content = path.read_bytes()
    with tarfile.open(path) as whole:
        heads = [member.offset for member in whole]
    places = [head + at for head in heads for at in range(512)]
    for _ in range(count):
        path.write_bytes(mutated(content, rng, places))
        meet(lambda: convert([path], folder / "out"))
        shutil.rmtree(folder / "out", ignore_errors=True)


def array_records(folder, rng, count: int) -> None:
    convert([tar(folder / "a.tar", numbered(0, 6))], folder)
    path = folder / "a.array_record"
    content = path.read_bytes()
    places = np.flatnonzero(np.frombuffer(content, np.uint8))
    for _ in range(count):
        path.write_bytes(mutated(content, rng, places))
        meet(lambda: every(f"array_record:{path}"))


KINDS = {"captions": captions, "tars": tars, "array_records": array_records}


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_inputs(tmp_path, kind):
    KINDS[kind](tmp_path, np.random.default_rng(0), 25)


@pytest.mark.prove
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutated_inputs(tmp_path, kind):
    KINDS[kind](tmp_path, np.random.default_rng(1), 800)
