"""Folders: captions files in both forms, every faulty line reported at once, nothing read from outside."""

import dataclasses
import json
import re

import numpy as np
import pytest
from PIL import Image

from gen.data import images, jsonlines
from gen.data.catalog import open_source
from gen.data.folder import Folder
from gen.data.pipeline import ImageDataConfig, Pipeline, make_tokenizer
from gen.data.source import CorruptRecord
from gen.tokenizers import Bytes


def picture(path, grey: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4, 3), grey, np.uint8)).save(path)


@pytest.fixture
def birds(tmp_path):
    """Forty images in a folder, without a captions file."""
    for i in range(40):
        picture(tmp_path / "birds" / f"more/{i}.png", i)
    return tmp_path / "birds"


def jsonl(folder, *entries) -> None:
    lines = (entry if isinstance(entry, str) else json.dumps(entry) for entry in entries)
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n")


def test_jsonl_and_csv_say_the_same(birds):
    jsonl(birds, *({"image": f"more/{i}.png", "caption": [f"bird, {i}", f'"{i}"']} for i in range(40)))
    first = Folder(birds, "train", 0.25)
    (birds / "captions.jsonl").unlink()
    rows = [f'more/{i}.png,"bird, {i}"\nmore/{i}.png,"""{i}"""' for i in range(40)]
    (birds / "captions.csv").write_text("image,caption\n" + "\n".join(rows))
    second = Folder(birds, "train", 0.25)
    assert [first[i] for i in range(len(first))] == [second[i] for i in range(len(second))]
    assert first.fingerprint == second.fingerprint and list(first.captions()) == list(second.captions())


def test_splits_part_the_folder_and_stay_when_it_grows(birds):
    jsonl(birds, *({"image": f"more/{i}.png", "caption": f"bird {i}"} for i in range(20)))
    few = {split: open_source(f"folder:{birds}", split, size=4, test_fraction=0.3) for split in ("train", "test")}
    names = {split: {source[i]["name"] for i in range(len(source))} for split, source in few.items()}
    assert not names["train"] & names["test"] and len(names["train"] | names["test"]) == 20
    jsonl(birds, *({"image": f"more/{i}.png", "caption": f"bird {i}"} for i in range(40)))
    grown = Folder(birds, "test", 0.3)
    assert names["test"] <= {grown[i]["name"] for i in range(len(grown))}
    for i in range(len(grown)):
        grey = int(grown[i]["caption"][0].removeprefix("bird "))
        assert np.all(images.decode(grown[i]["image"]) == grey)


def test_every_faulty_line_of_a_jsonl_file_is_reported(birds, tmp_path):
    picture(tmp_path / "secret.png")
    (birds / "link.png").symlink_to(tmp_path / "secret.png")
    good = {"image": "more/0.png", "caption": "a bird"}
    faulty = {
        2: "{",
        3: "[]",
        4: {"image": "more/1.png"},
        5: {"image": "more/1.png", "caption": " "},
        6: {"image": "more/1.png", "caption": []},
        7: {"image": "more/1.png", "caption": 7},
        8: {"image": "more/missing.png", "caption": "x"},
        9: {"image": "../secret.png", "caption": "x"},
        10: {"image": str(tmp_path / "secret.png"), "caption": "x"},
        11: {"image": "link.png", "caption": "x"},
    }
    jsonl(birds, good, *faulty.values())
    with pytest.raises(ValueError, match="has 10 faults; correct them") as raised:
        Folder(birds, "train", 0.1)
    reported = str(raised.value).splitlines()[1:]
    assert [int(line.split(":")[1]) for line in reported] == list(faulty)
    assert "there is no image 'more/missing.png'" in reported[6]
    assert all("leads out of the folder" in line for line in reported[7:])


def test_every_faulty_line_of_a_csv_file_is_reported(birds):
    text = b'image,caption\nmore/0.png,a bird\nmore/1.png\nmore/2.png,a,b\n\nmore/3.png,"two\nlines"\nmore/4.png,\xff\n'
    (birds / "captions.csv").write_bytes(text)
    with pytest.raises(ValueError) as raised:
        Folder(birds, "train", 0.1)
    reported = str(raised.value).splitlines()[1:]
    assert [int(line.split(":")[1]) for line in reported] == [3, 4, 8]
    assert "too many columns" in reported[1] and "UTF-8" in reported[2]


def test_a_quote_that_never_ends_is_reported(birds):
    (birds / "captions.csv").write_text('image,caption\nmore/0.png,a bird\nmore/1.png,"another\nmore/2.png,a third\n')
    with pytest.raises(ValueError, match=r"captions\.csv:3: .*nothing was read from here on"):
        Folder(birds, "train", 0.1)


def test_a_csv_file_without_a_header(birds):
    (birds / "captions.csv").write_text("more/0.png,a bird\n")
    with pytest.raises(
        ValueError,
        match=r'csv:1: the first line must name the columns "image" or "file_name" and "caption" or',
    ):
        Folder(birds, "train", 0.1)


def test_what_is_missing_is_named(birds, tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        Folder(tmp_path / "nowhere", "train", 0.1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty holds no image, as \.jpg, .*, and none of captions\.jsonl, captions"):
        Folder(tmp_path / "empty", "train", 0.1)
    with pytest.raises(ValueError, match="has none of .* that options.caption=title could be a name in"):
        Folder(birds, "train", 0.1, caption="title")
    jsonl(birds, {"image": "more/0.png", "caption": "a bird"})
    with pytest.raises(ValueError, match="the test split of 1 records is empty with data.options.test_fraction=0.0"):
        Folder(birds, "test", 0.0)
    with pytest.raises(ValueError, match="no split 'validation'"):
        Folder(birds, "validation", 0.1)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("metadata.jsonl", '{"file_name": "more/0.png", "text": "a bird", "score": NaN}\n'),
        ("metadata.jsonl", '{"file_name": "more/0.png", "caption": "a bird", "text": "OCR"}\n'),
        ("metadata.csv", "file_name,text\nmore/0.png,a bird\n"),
        ("captions.csv", "Image;Caption\nmore/0.png;a bird\n"),
        ("captions.csv", "\ufeff id\tIMAGE \t Caption\r\n1\tmore/0.png\ta bird\r\n"),
        ("captions.csv", '"image","caption"\n"./more//0.png","a bird"\n'),
        ("captions.jsonl", '\ufeff{"image": "more/0.png", "caption": "a bird"}\r\n'),
    ],
)
def test_forms_of_captions_files(birds, file, text):
    (birds / file).write_bytes(text.encode())
    record = Folder(birds, "train", 0.0)[0]
    assert record["caption"] == ("a bird",) and record["image"] == (birds / "more/0.png").read_bytes()


def test_captions_of_another_name(birds):
    (birds / "metadata.jsonl").write_text('{"file_name": "more/0.png", "text": "no", "Blip": ["a", "b"]}\n')
    assert list(open_source(f"folder:{birds}", "train", 4, test_fraction=0, caption="Blip").captions()) == ["a", "b"]
    with pytest.raises(ValueError, match=':1: the object has no "blip"'):
        Folder(birds, "train", 0.0, caption="blip")


@pytest.mark.parametrize("kind", ["captions", "metadata"])
def test_two_captions_files_are_refused(birds, kind):
    for file in (f"{kind}.jsonl", f"{kind}.csv"):
        (birds / file).write_text("")
    with pytest.raises(ValueError, match=rf"holds {kind}\.jsonl and {kind}\.csv; keep the one"):
        Folder(birds, "train", 0.1)


def test_captions_stand_before_the_metadata_of_others(birds):
    jsonl(birds, {"image": "more/1.png", "caption": "a"})
    before = Folder(birds, "train", 0.0).fingerprint
    (birds / "metadata.csv").write_text("file_name,text\n")
    assert Folder(birds, "train", 0.0).fingerprint == before


def test_one_image_spelled_in_several_ways_is_one_record(birds):
    spelled = ("more/1.png", "./more/1.png", "more//1.png", "more/./1.png")
    jsonl(birds, *({"image": name, "caption": str(i)} for i, name in enumerate(spelled)))
    source = Folder(birds, "train", 0.0)
    assert len(source) == 1 and source[0]["caption"] == ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (r'{"image": "more/0.png", "caption": "a \ud83d"}', "holds half a surrogate pair"),
        (r'{"image": "more/0\ud83d.png", "caption": "a"}', "holds half a surrogate pair"),
        (r'{"image": "more/0\u0000.png", "caption": "a"}', "is not the name of a file: embedded null byte"),
        (r'{"image": "more/0.png", "caption": "a\u0000"}', "the caption holds NUL"),
        (json.dumps({"image": "x" * 5000, "caption": "a"}), r"xxx…' \(5000 characters\): File name too long"),
        (json.dumps({"image": "loop/0.png", "caption": "a"}), "there is no image 'loop/0.png': Too many levels of sym"),
        (json.dumps({"image": "more/0.png/1.png", "caption": "a"}), "Not a directory"),
        (json.dumps({"image": "more", "caption": "a"}), "'more' is not a regular file"),
        ("[" * 100_000, "nested deeper than 64"),
        ('{"image": "more/0.png", "caption": "' + "x" * 2**24 + '"}', "the line has more than 16,777,216 bytes"),
        (r'{"image": "\u001b[2J.png", "caption": "a"}', "there is no image '.x1b"),
    ],
)
def test_hostile_lines_are_faults_of_their_lines(birds, line, message):
    (birds / "loop").symlink_to("loop")
    jsonl(birds, {"image": "more/0.png", "caption": "fine"}, line, {"image": "more/1.png", "caption": "fine"})
    with pytest.raises(ValueError, match=rf"has 1 faults; correct them\n.*captions\.jsonl:2: .*{message}") as raised:
        Folder(birds, "train", 0.0)
    assert len(str(raised.value)) < 700


def test_a_true_replacement_character_is_text(birds):
    jsonl(birds, {"image": "more/0.png", "caption": "a \ufffd"})
    assert Folder(birds, "train", 0.0)[0]["caption"] == ("a \ufffd",)
    (birds / "captions.jsonl").unlink()
    (birds / "captions.csv").write_text("image,caption\nmore/0.png,a \ufffd\n")
    assert Folder(birds, "train", 0.0)[0]["caption"] == ("a \ufffd",)


FORMS = {
    "captions.jsonl": '{"image": "more/0.png", "caption": "an \u00e9gret"}\n',
    "metadata.csv": "file_name,text\nmore/0.png,an \u00e9gret\n",
}


@pytest.mark.parametrize("file", FORMS)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_other_encodings_are_read_by_their_mark(birds, file, encoding):
    (birds / file).write_bytes(FORMS[file].encode(encoding))
    assert Folder(birds, "train", 0.0)[0]["caption"] == ("an \u00e9gret",)


@pytest.mark.parametrize("file", FORMS)
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_other_encodings_without_a_mark_are_named(birds, file, encoding):
    (birds / file).write_bytes(FORMS[file].encode(encoding))
    advice = (
        f"it looks like UTF-16 without its mark; save it in UTF-8, as with iconv -f {encoding.replace('-16-', '-16')}"
    )
    with pytest.raises(ValueError, match=f"{file} holds no lines of text: {advice}"):
        Folder(birds, "train", 0.0)


def test_captions_alongside_the_images(birds):
    for i in range(38):
        (birds / f"more/{i}.txt").write_text(f"\ufeffbird {i}\n")
    (birds / "more/.hidden.png").write_bytes(b"")
    (birds / "more/37.txt").write_bytes("bird 37".encode("utf-16"))
    (birds / "more/38.txt").write_bytes(b"\xffa")
    source = Folder(birds, "train", 0.0)
    found = {}
    for i in range(len(source)):
        try:
            found[source[i]["name"]] = source[i]["caption"]
        except CorruptRecord as damage:
            assert str(damage).startswith("its caption cannot be read:1: byte 0 is not UTF-8; save the file")
    assert found == {f"more/{i}.png": (f"bird {i}",) for i in range(38)} | {"more/39.png": ()}
    assert sorted(source.captions()) == sorted(f"bird {i}" for i in range(38))
    before = source.fingerprint
    (birds / "more/39.txt").write_text("the last")
    assert Folder(birds, "train", 0.0).fingerprint != before


def test_a_folder_without_captions_serves_tasks_that_read_none(birds):
    data = ImageDataConfig(f"folder:{birds}", resolution=4)
    batch = Pipeline(data, None, None).train(batch_size=4).batch(0)
    assert batch["image"].shape == (4, 4, 4, 3)
    with pytest.raises(ValueError, match=r"folder:.* has no captions, and this task reads them"):
        Pipeline(data, Bytes(), 8)
    with pytest.raises(ValueError, match=r"folder:.* has no captions, and this task reads them"):
        make_tokenizer(dataclasses.replace(data, tokenizer="bpe:300"))


def test_the_captions_file_is_read_once_in_a_process(birds, monkeypatch):
    jsonl(birds, *({"image": f"more/{i}.png", "caption": f"bird {i}"} for i in range(40)))
    parsed, parse = [], jsonlines.parse
    monkeypatch.setattr(jsonlines, "parse", lambda line: parsed.append(line) or parse(line))
    for split in ("train", "test", "train"):
        Folder(birds, split, 0.25)
    assert len(parsed) == 40
    jsonl(birds, *({"image": f"more/{i}.png", "caption": f"a bird {i}"} for i in range(30)))
    assert len(Folder(birds, "train", 0.0)) == 30 and len(parsed) == 70


def test_the_message_about_an_empty_split_gives_a_fraction_that_fills_it(birds):
    jsonl(birds, *({"image": f"more/{i}.png", "caption": "a bird"} for i in range(7)))
    for split, fraction in (("test", 0.001), ("train", 0.999)):
        with pytest.raises(ValueError, match=rf"the {split} split of 7 records is empty") as raised:
            Folder(birds, split, fraction)
        better = float(re.search(r"set data\.options\.test_fraction=([0-9.]+) or", str(raised.value))[1])
        assert len(Folder(birds, split, better)) >= 1 and len(Folder(birds, "train", better)) >= 1


def test_the_fingerprint_follows_the_content(birds):
    jsonl(birds, {"image": "more/0.png", "caption": "a bird"})
    first = Folder(birds, "train", 0.0).fingerprint
    jsonl(birds, {"image": "more/0.png", "caption": "a robin"})
    second = Folder(birds, "train", 0.0).fingerprint
    picture(birds / "more/0.png", grey=1)
    (birds / "more/0.png").write_bytes((birds / "more/0.png").read_bytes() + b" ")
    assert len({first, second, Folder(birds, "train", 0.0).fingerprint}) == 3
