"""WebDataset: samples come through a conversion byte for byte; what makes no sample is named; damage is found."""

import io
import json
import tarfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from gen.data import records
from gen.data.catalog import open_source
from gen.data.source import Damaged
from gen.data.webdataset import convert


def jpeg(grey: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), grey, np.uint8)).save(file, "JPEG")
    return file.getvalue()


def tar(path, members: dict[str, bytes]):
    with tarfile.open(path, "w") as out:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    return path


def everything(path) -> dict:
    source = open_source(f"array_record:{path}", "train", size=8, test_fraction=0.0)
    return {source[i]["name"]: (source[i]["caption"], source[i]["image"]) for i in range(len(source))}


def test_round_trip(tmp_path):
    first = {}
    for i in range(5):
        first |= {f"{i}.jpg": jpeg(i), f"{i}.txt": f"grey {i}\n".encode(), f"{i}.json": b'{"caption": "unused"}'}
    second = {"sub/x.JPG": jpeg(9), "sub/x.json": json.dumps({"caption": ["é", "nine"]}).encode()}
    tars = [tar(tmp_path / "a.tar", first), tar(tmp_path / "b.tar", second)]
    converted = convert(tars, tmp_path / "out")
    assert sorted(converted.written.values()) == [1, 5] and not converted.skipped
    expected = {str(i): ((f"grey {i}",), jpeg(i)) for i in range(5)} | {"sub/x": (("é", "nine"), jpeg(9))}
    assert everything(tmp_path / "out") == expected
    source = open_source(f"array_record:{tmp_path / 'out'}", "train", size=8, test_fraction=0.0)
    assert Counter(source.captions()) == Counter(caption for captions, _ in expected.values() for caption in captions)


def test_what_makes_no_sample_is_named(tmp_path):
    members = {
        "good.jpg": jpeg(1),
        "good.txt": b"fine",
        "mute.jpg": jpeg(2),
        "blank.jpg": jpeg(2),
        "blank.txt": b" ",
        "blind.txt": b"no image",
        "two.jpg": jpeg(3),
        "two.png": jpeg(3),
        "two.txt": b"two",
        "odd.jpg": b"no jpeg",
        "odd.txt": b"odd",
        "list.jpg": jpeg(4),
        "list.json": b"[1]",
        "readme.md": b"hello",
    }
    path = tar(tmp_path / "a.tar", members)
    with tarfile.open(path, "a") as out:
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        out.addfile(link)
    converted = convert([path], tmp_path / "out")
    assert list(converted.written.values()) == [1] and list(everything(tmp_path / "out")) == ["good"]
    named = [line.removeprefix(f"{path}:").split(":")[0] for line in converted.skipped]
    assert sorted(named) == ["blank", "blind", "link.jpg", "list", "mute", "odd", "readme.md", "two"]


def test_a_broken_tar_leaves_no_file_and_the_next_call_goes_on(tmp_path):
    whole = tar(tmp_path / "a.tar", {"a.jpg": jpeg(1), "a.txt": b"a"})
    broken = tar(tmp_path / "b.tar", {"b.jpg": jpeg(2), "b.txt": b"b"})
    content = broken.read_bytes()
    broken.write_bytes(content[:700])
    with pytest.raises(ValueError, match=r"b\.tar is not a whole tar file"):
        convert([whole, broken], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").glob("*.array_record")] == ["a.array_record"]
    broken.write_bytes(content)
    assert list(convert([whole, broken], tmp_path / "out").written.values()) == [1]
    assert set(everything(tmp_path / "out")) == {"a", "b"}


def test_tars_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"several tars would be written to a\.array_record"):
        convert([tmp_path / "x/a.tar", tmp_path / "y/a.tar"], tmp_path)


def test_flipped_bits_damage_one_record_and_truncation_is_refused(tmp_path):
    path = tmp_path / "a.array_record"
    rng = np.random.default_rng(0)
    wrote = [{"image": rng.bytes(3000), "caption": ("c",), "name": str(i)} for i in range(40)]
    assert records.write(path, wrote) == 40
    content = bytearray(path.read_bytes())
    content[content.index(wrote[17]["image"][:100]) + 50] ^= 1
    path.write_bytes(content)
    source = records.ArrayRecords(path, "train", 0.0)
    damaged = []
    for i in range(40):
        try:
            assert source[i] == wrote[i]
        except Damaged:
            damaged.append(i)
    assert damaged == [17]
    path.write_bytes(content[:-70000])
    with pytest.raises(ValueError, match="not whole ArrayRecord files"):
        records.ArrayRecords(path, "train", 0.0)
    with pytest.raises(ValueError, match="there is no ArrayRecord file"):
        records.ArrayRecords(tmp_path / "nowhere", "train", 0.0)


@pytest.mark.parametrize("content", [b"", b"\xff\xff\xff\xff{}", b"\x02\x00\x00\x00{}", b"\x02\x00\x00\x00[]image"])
def test_foreign_records_are_damaged(content):
    with pytest.raises(Damaged, match="not a captioned image"):
        records.decode(content)
