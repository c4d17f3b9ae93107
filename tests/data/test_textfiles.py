"""Texts of one's own: every kind of file, each document in one split, and every fault at its place."""

import bz2
import gzip
import hashlib
import json
import lzma

import pyarrow
import pyarrow.parquet
import pytest

from gen.data import opened
from gen.data.corpora import open_corpus
from gen.data.source import digest


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
    with pytest.raises(ValueError, match=rf"has 1 faults; correct them\n{path}:1: not a text"):
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


LINES = '{"text": "one"}\n{"text": "two"}\n'
ROWS = {
    "jsonl": LINES,
    "ndjson": LINES,
    "json": LINES,
    "JSON": LINES,
    "csv": 'n,text\n1,one\n2,"two"\n',
    "tsv": "text\tn\none\t1\ntwo\t2\n",
}


@pytest.mark.parametrize("ending", ROWS)
def test_an_ending_says_what_a_file_is(tmp_path, ending):
    (tmp_path / f"a.{ending}").write_text(ROWS[ending])
    assert [*texts(tmp_path / f"a.{ending}", test_fraction=0.0).values()] == ["one", "two"]


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zst"])
def test_what_is_compressed_is_read(tmp_path, ending):
    def put(name, content):
        path = tmp_path / f"{name}.{ending}"
        if ending == "zst":
            with pyarrow.output_stream(path, compression="zstd") as file:
                file.write(content.encode())
        else:
            path.write_bytes({"gz": gzip, "bz2": bz2, "xz": lzma}[ending].compress(content.encode()))
        return path

    for kind, content in ROWS.items():
        assert [*texts(put(f"a.{kind}", content), test_fraction=0.0).values()] == ["one", "two"]
    assert [*texts(put("b.txt", "prose"), test_fraction=0.0).values()] == ["prose"]
    whole = put("c.jsonl", LINES * 9)
    whole.write_bytes(whole.read_bytes()[:-5])
    with pytest.raises(ValueError, match=rf"c\.jsonl\.{ending} is not a whole \.{ending} file: .*; fetch it again"):
        texts(whole, test_fraction=0.0)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('[{"text": "one"}, {"text": "two"}]', ["one", "two"]),
        ('\n[\n {"text": "one"},\n {"text": "two"}\n]\n', ["one", "two"]),
        ('{\n  "text": "one",\n  "n": NaN\n}\n', ["one"]),
        ('\ufeff{"text": "one", "n": 1e999}\n\n{"text": "two", "bad": "\\ud800"}', ["one", "two"]),
        ('{"text": "one"', None),
        ('{"name": "gen", "version": 1}', None),
        ('{\n  "name": "gen"\n}\n', None),
        ('["one", "two"]', None),
        ("[" * 100_000, None),
        ("", None),
    ],
)
def test_the_content_of_json_says_what_it_is(tmp_path, content, found):
    write(tmp_path, a_json=content)
    if found is None:
        with pytest.raises(
            ValueError, match='a.json: its JSON is neither lines nor a list of objects with "text"; say'
        ):
            texts(tmp_path / "a.json", test_fraction=0.0)
    else:
        assert [*texts(tmp_path / "a.json", test_fraction=0.0).values()] == found


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_other_encodings_with_their_mark_are_read(tmp_path, encoding):
    for kind, content in ROWS.items():
        write(tmp_path, **{f"a_{kind}": content.replace("one", "\u00e9\u4e2d").encode(encoding)})
        assert [*texts(tmp_path / f"a.{kind}", test_fraction=0.0).values()] == ["\u00e9\u4e2d", "two"]
    write(tmp_path, b_txt="\u00e9\n".encode(encoding), c_txt="xy".encode(encoding)[:-1])
    assert texts(tmp_path / "b.txt", test_fraction=0.0) == {"b.txt": "\u00e9\n"}
    with pytest.raises(ValueError, match=rf"c\.txt: byte .* is not {encoding}, as which it begins"):
        texts(tmp_path / "c.txt", test_fraction=0.0)


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        ("plain".encode("utf-16-le") * 30, "UTF-16 without its mark; .* iconv -f utf-16le -t utf-8"),
        ("plain".encode("utf-16-be") * 30, "UTF-16 without its mark; .* iconv -f utf-16be -t utf-8"),
        (gzip.compress(b"x", mtime=0), "compressed by gzip: call it .gz"),
        (b"%PDF-1.7", "a PDF: save it as text"),
        (b"PK\x03\x04", "a zip archive or an office document"),
        (b"x\0y", "byte 1 is NUL"),
        (b"x" * 5000 + b"\ny\0", "a.txt:2: a NUL"),
    ],
)
def test_advice_is_true(tmp_path, content, advice):
    write(tmp_path, a_txt=content)
    with pytest.raises(ValueError, match=advice) as raised:
        texts(tmp_path)
    assert ("iconv" in str(raised.value)) == ("UTF-16" in advice)


def test_a_folder_leaves_out_what_is_neither_text_nor_data(tmp_path):
    write(tmp_path, main_py="x = 1", logo_png=b"\x89PNG\r\n\x1a\n\0", data_xyz="1 2 3", package_json='{"name": "a"}')
    for name, content in {"Makefile": b"all:\n", "tool": b"\x7fELF\0\0"}.items():
        (tmp_path / name).write_bytes(content)
    corpus = open_corpus(f"text:{tmp_path}", "train", test_fraction=0.0)
    assert [document.name for document in corpus.documents()] == ["Makefile", "main.py"]
    (note,) = corpus.notes
    assert "4 of 6 files are left out, the first data.xyz: its ending .xyz is not known to be that of a text" in note
    for name in ("logo.png", "data.xyz", "tool"):  # alone, each is refused by its name
        with pytest.raises(ValueError, match=f"there is no text at {tmp_path}/{name}\n{tmp_path}/{name}: "):
            open_corpus(f"text:{tmp_path / name}", "train")


def test_a_table_without_texts_is_left_out_of_a_folder(tmp_path):
    write(tmp_path, main_py="x = 1", points_csv="x,y\n1,2\n", more_csv="text\na\n")
    corpus = open_corpus(f"text:{tmp_path}", "train", test_fraction=0.0)
    assert [document.name for document in corpus.documents()] == ["main.py", "more.csv:2"]
    (note,) = corpus.notes
    assert "1 of 3 files is left out, the first points.csv has no column 'text'; set options.field" in note


def test_a_format_is_that_of_all_files(tmp_path):
    write(tmp_path, a_xyz="prose", b_json='{"name": "a"}', c_data=LINES)
    plain = texts(tmp_path, test_fraction=0.0, format="text")
    assert plain == {"a.xyz": "prose", "b.json": '{"name": "a"}', "c.data": LINES}
    assert [*texts(tmp_path / "c.data", test_fraction=0.0, format="jsonl").values()] == ["one", "two"]
    with pytest.raises(ValueError, match="data.options.format='jsnl' does not exist; did you mean 'jsonl'"):
        texts(tmp_path, format="jsnl")


def test_the_way_of_reading_is_part_of_the_fingerprint(tmp_path):
    """Encoded texts are kept by it; those of 0.1.0, which took lines in .json for prose, must not be found again."""
    write(tmp_path, a_json=LINES, b_jsonl=LINES)
    prints = {
        open_corpus(f"text:{tmp_path / name}", "train", test_fraction=0.0, format=format).fingerprint
        for name, format in (("a.json", ""), ("a.json", "text"), ("b.jsonl", ""), ("b.jsonl", "text"))
    }
    assert len(prints) == 4
    plain = digest("text", "train", "0.0", "text", "a.json", hashlib.sha256(LINES.encode()).hexdigest())
    assert plain in prints  # as a text that it is asked to be, it is what it was


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("Text;n\none;1\n", ["one"]),
        ('n, TEXT \n1,"o\nn""e"\n', ['o\nn"e']),
        ("n\ttext\n1\tone, two\n", ["one, two"]),
        ("text\n" + "x" * 200_000 + "\n", ["x" * 200_000]),
        ("\ufefftext\none\n\ntwo\n", ["one", "two"]),
    ],
)
def test_tables(tmp_path, content, found):
    write(tmp_path, a_csv=content)
    assert [*texts(tmp_path, test_fraction=0.0).values()] == found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("body,n\na,1\n", "a.csv has no column 'text'; set options.field to one of its columns: body, n"),
        ("text,n\na,b,1\n", "a.csv:2: 3 cells in 2 columns"),
        ("text\none\n\xff\n", "a.csv:3: not a text in UTF-8"),
        ('text\n"one" x\n', "a.csv:2: .*; quote a text that"),
        ('text\n"one\n', "a.csv:2: "),
        ("", "has no column 'text'"),
    ],
)
def test_faults_of_tables(tmp_path, content, message):
    write(tmp_path, a_csv=content.encode("latin1"))
    with pytest.raises(ValueError, match=message):
        texts(tmp_path, test_fraction=0.0)


def test_a_text_of_a_table_is_not_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(opened, "LONGEST", 50)
    write(tmp_path, a_csv=b"id,text\n1," + b"x" * 60 + b"\n")
    with pytest.raises(ValueError, match="a.csv has a line of more than 50 bytes; cut its text"):
        texts(tmp_path, test_fraction=0.0)


def test_nothing_to_read(tmp_path):
    with pytest.raises(ValueError, match="there is no text at"):
        texts(tmp_path)
    write(tmp_path, a_txt="", b_jsonl="\n")
    with pytest.raises(ValueError, match="holds no text; change test_fraction=0.1 or add documents"):
        texts(tmp_path)
