"""Texts of one's own: every kind of file, each document in one split, and every fault at its place."""

import json

import pyarrow
import pyarrow.parquet
import pytest

from gen.data.corpora import open_corpus


def write(folder, **files):
    """Files by name, in which _ stands for a dot."""
    for name, content in files.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def texts(place, split="train", **options) -> dict[str, str]:
    return dict(open_corpus(f"text:{place}", split, **options).documents())


def lines(*entries) -> str:
    return "".join(f"{json.dumps(entry)}\n" for entry in entries)


def test_every_kind_of_file_in_order(tmp_path):
    write(tmp_path, b_txt="é\r\n\n", a_jsonl=lines({"text": "one"}, {"text": "two"}) + "\n" + lines({"text": "three"}))
    write(tmp_path, empty_md="", _hidden_txt=b"\xff")
    for folder in ("sub", ".git", "__pycache__"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, c_py=b"\xef\xbb\xbfx = 1" if folder == "sub" else b"\xff")
    pyarrow.parquet.write_table(pyarrow.table({"n": [1, 2], "text": ["p", "q"]}), tmp_path / "d.parquet")
    found = texts(tmp_path, test_fraction=0.0)
    assert found == {
        "a.jsonl:1": "one", "a.jsonl:2": "two", "a.jsonl:4": "three", "b.txt": "é\r\n\n",
        "d.parquet:0": "p", "d.parquet:1": "q", "sub/c.py": "x = 1",
    }  # fmt: skip
    assert list(found) == sorted(found)
    assert list(texts(tmp_path, test_fraction=0.0, pattern="**/*.py")) == ["sub/c.py"]


@pytest.mark.parametrize("form", ["files", "jsonl", "parquet"])
def test_each_document_is_in_one_split_whatever_becomes_of_the_others(tmp_path, form):
    def put(count: int) -> None:
        numbers = [f"text {i}" for i in range(count)]
        if form == "files":
            write(tmp_path, **{f"{i}_txt": text for i, text in enumerate(numbers)})
        elif form == "jsonl":
            write(tmp_path, all_jsonl=lines(*({"text": text} for text in numbers)))
        else:
            pyarrow.parquet.write_table(pyarrow.table({"text": numbers}), tmp_path / "all.parquet")

    put(100)
    train, test = (texts(tmp_path, split, test_fraction=0.3) for split in ("train", "test"))
    assert not set(train) & set(test) and sorted([*train.values(), *test.values()]) == sorted(
        f"text {i}" for i in range(100)
    )
    assert 15 < len(test) < 45 and len(open_corpus(f"text:{tmp_path}", "test", test_fraction=0.3)) == len(test)
    put(120)
    assert test.items() <= texts(tmp_path, "test", test_fraction=0.3).items()


def test_a_single_text_is_divided_at_a_new_line(tmp_path):
    whole = "".join(f"line {i}\n" for i in range(100))
    write(tmp_path, book_txt=whole)
    for place in (tmp_path, tmp_path / "book.txt"):
        train, test = texts(place)["book.txt"], texts(place, "test")["book.txt"]
        assert train + test == whole and train.endswith("\n") and 0.08 < len(test) / len(whole) < 0.1
    assert open_corpus(f"text:{tmp_path}", "train").fingerprint == open_corpus(f"text:{place}", "train").fingerprint
    write(tmp_path, book_txt="x" * 100)
    assert (len(texts(tmp_path)["book.txt"]), len(texts(tmp_path, "test")["book.txt"])) == (90, 10)


def test_contents_and_names_make_the_fingerprint(tmp_path):
    def fingerprint(**options) -> str:
        return open_corpus(f"text:{tmp_path}", "train", **options).fingerprint

    write(tmp_path, a_txt="a", b_txt="b")
    before = fingerprint()
    assert fingerprint() == before != fingerprint(test_fraction=0.2)
    write(tmp_path, b_txt="c")
    assert fingerprint() != before
    write(tmp_path, b_txt="b")
    assert fingerprint() == before
    (tmp_path / "b.txt").rename(tmp_path / "c.txt")
    assert fingerprint() != before


def test_every_fault_has_its_place(tmp_path):
    write(tmp_path, a_txt=b"fine\nnot \xe9 fine", b_txt="fine")
    write(
        tmp_path, c_jsonl=b'{"text": "a"}\n{"text": 3}\n[1]\n{"text": "\\ud800"}\n{"txet": "a"}\n{\n\xff\n{"text": "z"}'
    )
    with pytest.raises(ValueError, match="has 7 faults") as raised:
        texts(tmp_path, test_fraction=0.0)
    message = str(raised.value)
    assert f"{tmp_path}/a.txt:2: byte 9 is not UTF-8; save the file" in message and "iconv" in message
    for line in (2, 3, 4, 5, 6, 7):
        assert f'{tmp_path}/c.jsonl:{line}: not a JSON object in UTF-8 with a text "text"' in message


def test_columns(tmp_path):
    path = tmp_path / "d.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"body": ["a", None, "b"], "n": [1, 2, 3]}), path)
    with pytest.raises(ValueError, match="no column 'text'; set options.field to one of its columns: body, n"):
        texts(path)
    with pytest.raises(ValueError, match=rf"has 1 faults; mend them\n{path}:1: not a text"):
        texts(path, field="body", test_fraction=0.0)
    with pytest.raises(ValueError, match="has 3 faults"):
        texts(path, field="n", test_fraction=0.0)
    whole = path.read_bytes()
    path.write_bytes(b"PAR1" + b"\xff" * 60 + whole[64:])  # the first pages; what tells where they are stands last
    with pytest.raises(ValueError, match=r"d\.parquet is damaged behind row 0"):
        texts(path, field="body", test_fraction=0.0)
    path.write_bytes(b"PAR1 no")
    with pytest.raises(ValueError, match=r"d\.parquet is not a whole Parquet file"):
        texts(path)


def test_a_pattern_that_is_none(tmp_path):
    write(tmp_path, a_txt="a")
    for pattern in ("", "/a/*"):
        with pytest.raises(ValueError, match="the pattern .* matches no files"):
            texts(tmp_path, pattern=pattern)


def test_endings_are_read_in_any_case(tmp_path):
    write(tmp_path, a_JSONL=lines({"text": "one"}, {"text": "two"}))
    assert texts(tmp_path, test_fraction=0.0) == {"a.JSONL:1": "one", "a.JSONL:2": "two"}


def test_nothing_to_read(tmp_path):
    with pytest.raises(ValueError, match="there is no text at"):
        texts(tmp_path)
    write(tmp_path, a_txt="", b_jsonl="\n")
    with pytest.raises(ValueError, match="holds no text; change test_fraction=0.1 or add documents"):
        texts(tmp_path)
