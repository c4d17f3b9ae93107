"""Folders: captions files in both forms, every faulty line reported at once, nothing read from outside."""

import json

import numpy as np
import pytest
from PIL import Image

from gen.data import images
from gen.data.catalog import open_source
from gen.data.folder import Folder


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
    with pytest.raises(ValueError, match="has 10 faulty lines") as raised:
        Folder(birds, "train", 0.1)
    reported = str(raised.value).splitlines()[1:]
    assert [int(line.split(":")[1]) for line in reported] == list(faulty)
    assert "there is no image more/missing.png" in reported[6]
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
    with pytest.raises(ValueError, match=r'captions.csv:1: the first line must name the columns "image" and "caption"'):
        Folder(birds, "train", 0.1)


def test_what_is_missing_is_named(birds, tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        Folder(tmp_path / "nowhere", "train", 0.1)
    with pytest.raises(ValueError, match=r"captions.jsonl and captions.csv, it holds neither"):
        Folder(birds, "train", 0.1)
    jsonl(birds, {"image": "more/0.png", "caption": "a bird"})
    with pytest.raises(ValueError, match="the test split of 1 records is empty"):
        Folder(birds, "test", 0.0)
    with pytest.raises(ValueError, match="no split 'validation'"):
        Folder(birds, "validation", 0.1)


def test_the_fingerprint_follows_the_content(birds):
    jsonl(birds, {"image": "more/0.png", "caption": "a bird"})
    first = Folder(birds, "train", 0.0).fingerprint
    jsonl(birds, {"image": "more/0.png", "caption": "a robin"})
    second = Folder(birds, "train", 0.0).fingerprint
    picture(birds / "more/0.png", grey=1)
    (birds / "more/0.png").write_bytes((birds / "more/0.png").read_bytes() + b" ")
    assert len({first, second, Folder(birds, "train", 0.0).fingerprint}) == 3
