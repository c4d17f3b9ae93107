"""JSON from anywhere: typed, bounded, and refused in one sentence."""

import os
from typing import Any, Literal, NotRequired, TypedDict

import pytest

from gen import jsonfile
from gen.jsonfile import DEPTH, NotReadable, parse, read


class Skip(TypedDict):
    at: int
    spike: NotRequired[float]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ('{"at": 7, "later": [1]}', Skip, {"at": 7, "later": [1]}),  # a key of a later version stays
        ('[{"at": 7, "spike": 2}]', list[Skip], [{"at": 7, "spike": 2}]),
        ('{"a": [1, "x"]}', dict[str, tuple[int, str]], {"a": [1, "x"]}),
        ("null", int | None, None),
        ('"b"', Literal["a", "b"], "b"),
        ("1e308", float, 1e308),
        (str(2**63 - 1), int, 2**63 - 1),
        (str(-(2**63)), int, -(2**63)),
        (str(10**30), Any, 1e30),
        (str(10**30), float, 1e30),
        (b"\xef\xbb\xbf[]", list[int], []),
        ("[" * DEPTH + "]" * DEPTH, Any, None),
    ],
)
def test_what_is_of_its_type_is_read(text, kind, value):
    found = parse(text, kind, "f")
    assert value is None or (found == value and type(found) is type(value))


@pytest.mark.parametrize(
    ("text", "kind", "sentence"),
    [
        ('{"spike": 1.0}', Skip, "f lacks at"),
        ('[{"at": "7"}]', list[Skip], "f: [0].at is text, but an integer is expected"),
        ('{"at": 7, "spike": true}', Skip, "f: spike is true or false, but a number is expected"),
        ('{"at": true}', Skip, "f: at is true or false, but an integer is expected"),
        ("[1]", dict[str, Any], "f is a list, but an object is expected"),
        ("[1]", tuple[int, int], "f has 1 items, but 2 are expected"),
        ('{"at": "7"}', Skip | None, "f: at is text, but an integer is expected"),
        ('"c"', Literal["a", "b"], "f is 'c', but one of ('a', 'b') is expected"),
        ("NaN", float, "f is not JSON: NaN is not a number of JSON"),
        ("-Infinity", float, "f is not JSON: -Infinity is not a number of JSON"),
        ("1e999", float, "f is not JSON: the number '1e999' is too large"),
        ("1" + "0" * 400, Any, "too large"),
        ("9" * 9999, Any, "too large"),
        (str(2**63), int, "f is a number, but an integer is expected"),
        ("[" * 100_000, Any, f"f: its JSON is nested deeper than {DEPTH}"),
        ("[" * (DEPTH + 1) + "]" * (DEPTH + 1), Any, f"f: its JSON is nested deeper than {DEPTH}"),
        ('{"a": "\\ud83d"}', Any, "half a surrogate pair"),
        ('{"\\udc00": 1}', Any, "half a surrogate pair"),
        (b"\xff", Any, "f is not JSON: byte 0 is not UTF-8"),
        ("{", Any, "f is not JSON: Expecting"),
    ],
)
def test_anything_else_is_one_sentence(text, kind, sentence):
    with pytest.raises(NotReadable) as caught:
        parse(text, kind, "f")
    assert sentence in str(caught.value) and len(str(caught.value)) < 300


def test_a_file_is_regular_and_of_bounded_size(tmp_path):
    file = tmp_path / "a.json"
    file.write_text('{"at": 7}')
    assert read(file, Skip) == {"at": 7}
    (tmp_path / "link.json").symlink_to(file)
    assert read(tmp_path / "link.json", Skip) == {"at": 7}
    with pytest.raises(NotReadable, match="a.json is larger than 4 bytes; restore it from a copy"):
        read(file, Skip, size=4)
    with pytest.raises(NotReadable, match="none.json does not exist"):
        read(tmp_path / "none.json")
    with pytest.raises(NotReadable, match="is not a regular file"):
        read(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/zero"):
        with pytest.raises(NotReadable, match="is not a regular file"):
            read(jsonfile.Path(path))
    with pytest.raises(NotReadable, match="not the name of a file"):
        read(tmp_path / "a\0b")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="loop"):
        read(tmp_path / "loop")
    with pytest.raises(NotReadable, match="link.json is a symbolic link"):
        jsonfile.open_regular(tmp_path / "link.json", links=False)
