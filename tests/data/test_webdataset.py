"""WebDataset: samples come through a conversion byte for byte; what makes no sample is named; damage is found."""

import gzip
import io
import json
import struct
import tarfile
from collections import Counter

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image

from gen.data import records
from gen.data.catalog import open_source
from gen.data.source import CorruptRecord, digest, is_test
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


def numbered(first: int, count: int) -> dict[str, bytes]:
    return {
        f"{i:03}{ending}": content
        for i in range(first, first + count)
        for ending, content in ((".jpg", jpeg(i)), (".txt", b"grey"))
    }


def converted(path, out) -> tuple[int, list[str]]:
    done = convert([path], out)
    return sum(done.written.values()), [line.removeprefix(f"{path}:") for line in done.skipped]


def test_hostile_captions_and_names_cost_one_sample(tmp_path):
    members = {
        "0.jpg": jpeg(0),
        "0.txt": b"\xef\xbb\xbffine",
        "1.jpg": jpeg(1),
        "1.json": b'{"caption": "a \\ud83d"}',
        "2.jpg": jpeg(2),
        "2.txt": b"\xffa",
        "3.jpg": jpeg(3),
        "3.json": b"[" * 100_000,
        "4.jpg": jpeg(4),
        "4.json": b'{"caption": 7}',
        "x" * 2000 + ".jpg": jpeg(5),
        "\x1b[2J.gif": b"",
    }
    count, skipped = converted(tar(tmp_path / "a.tar", members), tmp_path / "out")
    assert count == 1 and everything(tmp_path / "out")["0"][0] == ("fine",)
    for part in (
        r"1: its .json: 'a \ud83d' holds half a surrogate pair, which is not text",
        "2: its caption cannot be read:1: byte 0 is not UTF-8; save the file in that encoding, as with iconv"
        " -f latin1 -t utf-8",
        "3: its .json: its JSON is nested deeper than 64",
        "4: its caption must be a text, got int",
        "x: its name has 2,004 characters",
        "\u241b[2J.gif: neither an image (jpg, jpeg, png, webp) nor a caption (txt, json)",
    ):
        assert len([line for line in skipped if line.endswith(part)]) == 1
    assert len(skipped) == 6 and max(map(len, skipped)) < 300


def test_names_in_latin_1_are_read(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as out:
        for name, content in (("\xe9.jpg", jpeg(7)), ("\xe9.txt", b"seven")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    assert converted(tmp_path / "a.tar", tmp_path / "out") == (1, [])
    assert everything(tmp_path / "out") == {r"\xe9": (("seven",), jpeg(7))}


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz"])
def test_every_header_is_looked_at(tmp_path, name):
    """A flipped bit in any header, and a cut between any two members, are noticed; nothing is half converted."""
    content = tar(tmp_path / "whole.tar", numbered(0, 4)).read_bytes()
    with tarfile.open(tmp_path / "whole.tar") as whole:
        headers = [member.offset for member in whole]
    broken = [content[:at] for at in (*headers[1:], *(at + 700 for at in headers))]
    for at in headers:
        flipped = bytearray(content)
        flipped[at + 150] ^= 1
        broken.append(bytes(flipped))
    broken += [content[:-10240] + b"more" + bytes(508), content + content[1000:]]
    for number, data in enumerate(broken):
        path = tmp_path / str(number) / name
        path.parent.mkdir()
        path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
        with pytest.raises(ValueError, match=rf"{name} is not a whole tar file: .*; fetch it again"):
            convert([path], tmp_path / f"{number}/out")
        assert not list((tmp_path / f"{number}/out").iterdir())


def test_tars_that_are_joined_are_read_to_the_end(tmp_path):
    first, second = (tar(tmp_path / f"{i}.tar", numbered(4 * i, 4)).read_bytes() for i in range(2))
    for number, content in enumerate((first + second, first + bytes(51200) + second, first + first + second)):
        path = tmp_path / f"joined{number}.tar"
        path.write_bytes(content)
        convert([path], tmp_path / f"out{number}")
        assert set(everything(tmp_path / f"out{number}")) == {f"{i:03}" for i in range(8)}


def test_a_header_of_negative_size_ends_in_a_sentence(tmp_path):
    """Such a header leads back to itself."""
    info = tarfile.TarInfo("a.jpg")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = (2**96 - 512).to_bytes(12)  # the size, -512 in base 256
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(header) + bytes(1024))
    with pytest.raises(ValueError, match=r"a\.tar is not a whole tar file"):
        convert([path], tmp_path / "out")


def test_a_full_disk_is_no_traceback_and_leaves_nothing(tmp_path):
    path = tar(tmp_path / "a.tar", numbered(0, 4))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.array_record.unfinished").mkdir()
    with pytest.raises(OSError, match="unfinished"):
        convert([path], tmp_path / "out")


def names(path, split: str) -> set[str]:
    source = open_source(f"array_record:{path}", split, size=8, test_fraction=0.3)
    return {source[i]["name"] for i in range(len(source))}


def test_a_tar_added_moves_no_record_to_the_other_split(tmp_path):
    convert([tar(tmp_path / "b.tar", numbered(0, 50))], tmp_path / "out")
    train, test = names(tmp_path / "out", "train"), names(tmp_path / "out", "test")
    assert len(train | test) == 50 and len(test) > 5
    convert([tar(tmp_path / "a.tar", numbered(50, 50))], tmp_path / "out")
    assert names(tmp_path / "out", "train") >= train and names(tmp_path / "out", "test") >= test
    assert len(names(tmp_path / "out", "train") | names(tmp_path / "out", "test")) == 100
    (tmp_path / "out" / "b.array_record").rename(tmp_path / "out" / "0.array_record")
    assert names(tmp_path / "out", "train") >= train and names(tmp_path / "out", "test") >= test


def test_spelling_makes_no_other_name(tmp_path):
    for spelled, out in (("", "plain"), ("./", "dotted"), (".//", "double")):
        path = tar(tmp_path / f"{out}.tar", {spelled + name: content for name, content in numbered(0, 40).items()})
        convert([path], tmp_path / out)
        assert names(tmp_path / out, "test") == {f"{i:03}" for i in range(40) if is_test(f"{i:03}", 0.3)}


def old(path, first: int, count: int) -> None:
    """An ArrayRecord file as version 0.1.0 wrote them."""
    writer = ArrayRecordWriter(str(path), "group_size:1")
    for i in range(first, first + count):
        header = json.dumps({"name": str(i), "caption": ["grey"]}).encode()
        writer.write(struct.pack("<I", len(header)) + header + jpeg(i))
    writer.close()


def test_sets_of_the_first_version_keep_their_split(tmp_path):
    (tmp_path / "out").mkdir()
    old(tmp_path / "out" / "a.array_record", 0, 30)
    old(tmp_path / "out" / "c.array_record", 30, 30)
    expected = {str(i) for i in range(60) if is_test(str(i), 0.3)}
    assert names(tmp_path / "out", "test") == expected
    convert([tar(tmp_path / "b.tar", numbered(60, 50))], tmp_path / "out")
    held = names(tmp_path / "out", "test")
    assert {name for name in held if len(name) < 3} == expected and len(held) > len(expected)
    assert not held & names(tmp_path / "out", "train")


def test_the_fingerprint_of_a_set_of_the_first_version_is_as_it_was(tmp_path):
    old(tmp_path / "a.array_record", 0, 10)
    source = open_source(f"array_record:{tmp_path / 'a.array_record'}", "train", size=8)
    size = (tmp_path / "a.array_record").stat().st_size
    assert source.fingerprint == digest("array_record", "train", "0.1", 10, f"a.array_record {size}")


def test_a_damaged_list_of_names_is_refused_and_no_split_guessed(tmp_path):
    convert([tar(tmp_path / "a.tar", numbered(0, 20))], tmp_path)
    path = tmp_path / "a.array_record"
    content = bytearray(path.read_bytes())
    content[content.index(b"gennames") + 20] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.array_record has a damaged list of names; convert its tar again"):
        names(tmp_path, "train")


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
        except CorruptRecord:
            damaged.append(i)
    assert damaged == [17]
    path.write_bytes(content[:-70000])
    with pytest.raises(ValueError, match="is not a whole ArrayRecord file"):
        records.ArrayRecords(path, "train", 0.0)
    with pytest.raises(ValueError, match="there is no ArrayRecord file"):
        records.ArrayRecords(tmp_path / "nowhere", "train", 0.0)


@pytest.mark.parametrize("content", [b"", b"\xff\xff\xff\xff{}", b"\x02\x00\x00\x00{}", b"\x02\x00\x00\x00[]image"])
def test_foreign_records_are_damaged(content):
    with pytest.raises(CorruptRecord, match="not a captioned image"):
        records.decode(content)


def test_a_file_whose_name_is_not_utf8_is_named(tmp_path):
    convert([tar(tmp_path / "a.tar", numbered(0, 2))], tmp_path / "out")
    (tmp_path / "out" / "a.array_record").rename(tmp_path / "out" / "\udcff.array_record")
    with pytest.raises(ValueError, match="has a name that is not UTF-8, which ArrayRecord cannot open; rename it"):
        open_source(f"array_record:{tmp_path / 'out'}", "train", size=8, test_fraction=0.0)
